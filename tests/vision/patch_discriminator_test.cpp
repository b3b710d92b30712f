// SPDX-License-Identifier: MIT
#include "mmada/vision/patch_discriminator.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <map>

#include "mmada/core/check.h"
#include "tests/support/tensors.h"

// after torch's headers, whose logging has a CHECK of its own
#include <catch2/catch.hpp>

using mmada::PatchDiscriminator;

namespace {

using Weights = std::map<std::string, at::Tensor>;

PatchDiscriminator tiny(int64_t layers, uint64_t seed = 1) {
  PatchDiscriminator model({.channels = 2, .layers = layers}, at::kDouble);
  initialize(model, seed);
  for (auto& [name, tensor] : model.parameters()) tensor.mul_(5);  // away from the linear start
  return model;
}

/// 4x4 convolution with zeros of width 1 around, by its definition.
at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t stride) {
  const int64_t height = (x.size(2) - 2) / stride + 1, width = (x.size(3) - 2) / stride + 1;
  at::Tensor y = at::zeros({x.size(0), weight.size(0), height, width}, at::kDouble);
  const auto in = x.accessor<double, 4>(), kernel = weight.accessor<double, 4>();
  auto out = y.accessor<double, 4>();
  for (int64_t b = 0; b < y.size(0); ++b)
    for (int64_t o = 0; o < y.size(1); ++o)
      for (int64_t i = 0; i < height; ++i)
        for (int64_t j = 0; j < width; ++j) {
          double sum = bias.defined() ? bias[o].item<double>() : 0;
          for (int64_t c = 0; c < x.size(1); ++c)
            for (int64_t u = 0; u < 4; ++u)
              for (int64_t v = 0; v < 4; ++v) {
                const int64_t row = i * stride + u - 1, column = j * stride + v - 1;
                if (row >= 0 && row < x.size(2) && column >= 0 && column < x.size(3))
                  sum += in[b][c][row][column] * kernel[o][c][u][v];
              }
          out[b][o][i][j] = sum;
        }
  return y;
}

/// (x - mean) / sqrt(variance + 1e-5) over batch and positions of each channel.
at::Tensor normalize(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  at::Tensor y = x.clone();
  for (int64_t c = 0; c < x.size(1); ++c) {
    const at::Tensor channel = x.select(1, c);
    const double mean = channel.sum().item<double>() / static_cast<double>(channel.numel());
    const double variance =
        (channel - mean).pow(2).sum().item<double>() / static_cast<double>(channel.numel());
    y.select(1, c).copy_((channel - mean) / std::sqrt(variance + 1e-5) * weight[c] + bias[c]);
  }
  return y;
}

at::Tensor leaky(const at::Tensor& x) { return at::where(x > 0, x, 0.2 * x); }

/// Two strided layers, written out name by name.
at::Tensor oracle(const Weights& w, const at::Tensor& image) {
  at::Tensor x = leaky(convolve(image, w.at("main.0.weight"), w.at("main.0.bias"), 2));
  x = convolve(x, w.at("main.2.weight"), {}, 2);
  x = leaky(normalize(x, w.at("main.3.weight"), w.at("main.3.bias")));
  x = convolve(x, w.at("main.5.weight"), {}, 1);
  x = leaky(normalize(x, w.at("main.6.weight"), w.at("main.6.bias")));
  return convolve(x, w.at("main.8.weight"), w.at("main.8.bias"), 1);
}

}  // namespace

TEST_CASE("the discriminator has the published names, shapes and one logit a patch") {
  const PatchDiscriminator model({}, at::TensorOptions(at::kMeta).dtype(at::kFloat));
  Weights weights;
  int64_t total = 0;
  for (auto& [name, tensor] : model.parameters()) weights[name] = tensor, total += tensor.numel();
  CHECK(weights.at("main.0.weight").sizes() == at::IntArrayRef({64, 3, 4, 4}));
  CHECK(weights.at("main.8.weight").sizes() == at::IntArrayRef({512, 256, 4, 4}));
  CHECK(weights.at("main.9.bias").sizes() == at::IntArrayRef({512}));
  CHECK(weights.at("main.11.weight").sizes() == at::IntArrayRef({1, 512, 4, 4}));
  CHECK(weights.size() == 13);
  CHECK(total == 2765633);
  PatchDiscriminator narrow({.channels = 2}, at::kFloat);
  initialize(narrow, 1);
  CHECK(narrow.forward(mmada::random_tensor({2, 3, 256, 256}, 1)).sizes() == at::IntArrayRef({2, 1, 30, 30}));
  const mmada::PatchDiscriminatorConfig no_layers{.channels = 4, .layers = 0};
  CHECK_THROWS_AS(PatchDiscriminator(no_layers, at::kFloat), mmada::Error);
}

TEST_CASE("the discriminator's logits equal plain loops in double precision") {
  const PatchDiscriminator model = tiny(2);
  Weights weights;
  for (auto& [name, tensor] : model.parameters()) weights[name] = tensor;
  const at::Tensor image = mmada::random_tensor({2, 3, 20, 24}, 2).to(at::kDouble);
  CHECK(mmada::max_difference(model.forward(image), oracle(weights, image)) < 1e-10);
}

TEST_CASE("every gradient of the discriminator agrees with finite differences") {
  const PatchDiscriminator model = tiny(1);
  const at::Tensor image = mmada::random_tensor({2, 3, 10, 10}, 2).to(at::kDouble).requires_grad_(true);
  auto leaves = model.parameters();
  leaves.emplace_back("image", image);
  for (auto& [name, tensor] : leaves) tensor.requires_grad_(true);
  const auto loss = [&] { return model.forward(image).square().mean(); };
  loss().backward();
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : leaves) {
    INFO(name);
    double* value = tensor.mutable_data_ptr<double>() + tensor.numel() / 2;
    const double before = *value, step = 1e-5;
    *value = before + step;
    const double above = loss().item<double>();
    *value = before - step;
    const double below = loss().item<double>();
    *value = before;
    CHECK(tensor.grad().flatten()[tensor.numel() / 2].item<double>() ==
          Approx((above - below) / (2 * step)).epsilon(1e-5).margin(1e-9));
  }
}

TEST_CASE("gradients pass a frozen discriminator and do not reach it") {
  const PatchDiscriminator model = tiny(1);
  for (auto& [name, tensor] : model.parameters()) tensor.requires_grad_(true);
  const at::Tensor image = mmada::random_tensor({1, 3, 12, 12}, 3).to(at::kDouble).requires_grad_(true);
  model.frozen().forward(image).sum().backward();
  const at::Tensor through = image.grad().clone();
  for (auto& [name, tensor] : model.parameters()) CHECK_FALSE(tensor.grad().defined());
  image.mutable_grad().zero_();
  model.forward(image).sum().backward();
  CHECK(through.equal(image.grad()));
  for (auto& [name, tensor] : model.parameters()) CHECK(tensor.grad().defined());
}

TEST_CASE("the discriminator starts as published, the same for the same seed") {
  PatchDiscriminator model({.channels = 16}, at::kFloat), again({.channels = 16}, at::kFloat);
  initialize(model, 5);
  initialize(again, 5);
  const auto parameters = model.parameters(), same = again.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) CHECK(parameters[i].second.equal(same[i].second));
  const Weights w(parameters.begin(), parameters.end());
  const at::Tensor& kernel = w.at("main.8.weight");
  CHECK(kernel.std().item<double>() == Approx(0.02).epsilon(0.02));
  CHECK(std::abs(kernel.mean().item<double>()) < 1e-3);
  CHECK(w.at("main.9.weight").mean().item<double>() == Approx(1.0).margin(0.01));
  CHECK(w.at("main.9.weight").std().item<double>() == Approx(0.02).epsilon(0.3));
  CHECK(w.at("main.9.bias").eq(0).all().item<bool>());
  CHECK(w.at("main.0.bias").abs().max().item<double>() <= 1 / std::sqrt(48.0));
  CHECK(w.at("main.0.bias").abs().max().item<double>() > 0.5 / std::sqrt(48.0));
}
