// SPDX-License-Identifier: MIT
#include "mmada/trainer/tokenizer_loss.h"

#include <ATen/ATen.h>

#include <cmath>

#include "tests/vision/golden.h"

// after torch's headers, whose logging has a CHECK of its own
#include <catch2/catch.hpp>

using mmada::Rng;
using mmada::tokenizer_loss;
using mmada::TokenizerLossOptions;

namespace {

double plogp(double p) { return p > 0 ? p * std::log(p) : 0; }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Plain loops over a latent [B, C, positions] in fp64: {entropy, mean squared distance to the code}.
std::pair<double, double> oracle(const at::Tensor& latent) {
  const at::Tensor z = latent.to(at::kDouble).flatten(2).contiguous();
  const int64_t batch = z.size(0), channels = z.size(1), positions = z.size(2);
  const double* data = z.const_data_ptr<double>();
  double entropy = 0, distance = 0;
  for (int64_t c = 0; c < channels; ++c) {
    double mean_p = 0, mean_entropy = 0;
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t i = 0; i < positions; ++i) {
        const double x = data[(b * channels + c) * positions + i], p = sigmoid(4 * x);
        mean_p += p / static_cast<double>(batch * positions);
        mean_entropy -= (plogp(p) + plogp(1 - p)) / static_cast<double>(batch * positions);
        distance += std::pow((x > 0 ? 1 : -1) - x, 2) / static_cast<double>(z.numel());
      }
    entropy += (mean_entropy + plogp(mean_p) + plogp(1 - mean_p)) / static_cast<double>(channels);
  }
  return {entropy, distance};
}

}  // namespace

TEST_CASE("the quantizer's losses equal plain loops in double precision") {
  at::manual_seed(7);
  const at::Tensor latent = at::randn({3, 5, 4, 7}) * 0.7;
  const auto quantized = mmada::quantize(latent);
  const auto [entropy, distance] = oracle(latent);
  CHECK(quantized.entropy.item<double>() == Approx(entropy).epsilon(1e-4));
  CHECK(quantized.commitment.item<double>() == Approx(1.25 * distance).epsilon(1e-5));
  CHECK(mmada::test::largest_difference(quantized.latent_BChw, latent.sign()) < 1e-6);
}

TEST_CASE("the exact commitment gradient is kept whole and the reference's is three quarters of it") {
  at::manual_seed(7);
  for (const bool reference : {false, true}) {
    const at::Tensor latent = at::randn({2, 3, 4, 4}).requires_grad_(true);
    mmada::quantize(latent, {.straight_through_commitment = reference}).commitment.backward();
    const at::Tensor z = latent.detach();
    const at::Tensor exact = -2 * (z.sign() - z) / static_cast<double>(z.numel());
    CHECK(mmada::test::largest_difference(latent.grad(), (reference ? 0.75 : 1.0) * exact) < 1e-7);
  }
}

TEST_CASE("the decoder's gradient passes the quantizer unchanged") {
  at::manual_seed(7);
  const at::Tensor latent = at::randn({2, 3, 4, 4}).requires_grad_(true);
  const at::Tensor weight = at::randn({2, 3, 4, 4});
  (mmada::quantize(latent).latent_BChw * weight).sum().backward();
  CHECK(latent.grad().equal(weight));
}

TEST_CASE("saturated latents keep losses and gradients finite") {
  const at::Tensor latent = at::full({1, 2, 3, 3}, 60.0f).requires_grad_(true);
  const auto quantized = mmada::quantize(latent);
  (quantized.entropy + quantized.commitment).backward();
  CHECK(std::isfinite(quantized.entropy.item<double>()));
  CHECK(latent.grad().isfinite().all().item<bool>());
}

TEST_CASE("the tokenizer loss is the weighted sum of its parts and trains every parameter") {
  at::manual_seed(7);
  const mmada::Magvit2 model = mmada::test::tiny_magvit();
  for (auto& [name, tensor] : model.parameters()) tensor.requires_grad_(true);
  const at::Tensor image = at::rand({2, 3, 16, 16}) * 2 - 1;
  Rng rng(1, "test");
  const TokenizerLossOptions options{.l1 = 0.5, .mse = 2, .entropy = 0.3, .commitment = 0.2};
  const auto loss = tokenizer_loss(model, image, options, 0.5, rng);
  const auto value = [](const at::Tensor& scalar) { return scalar.item<double>(); };
  CHECK(value(loss.total) == Approx(0.5 * value(loss.l1) + 2 * value(loss.mse) + 0.3 * value(loss.entropy) +
                                    0.2 * value(loss.commitment)));
  const at::Tensor error = model.decode(model.encode(image)) - image;
  CHECK(value(loss.l1) == Approx(value(error.abs().mean())).epsilon(1e-4));
  CHECK(value(loss.mse) == Approx(value(error.square().mean())).epsilon(1e-4));
  loss.total.backward();
  for (auto& [name, tensor] : model.parameters()) {
    INFO(name);
    CHECK(tensor.grad().defined());
  }
  CHECK(rng.position() == 0);
}

TEST_CASE("soft latents reach the decoder at the start of training and never after the soft share") {
  at::manual_seed(7);
  const mmada::Magvit2 model = mmada::test::tiny_magvit();
  const at::Tensor image = at::rand({2, 3, 16, 16}) * 2 - 1;
  const TokenizerLossOptions options{.soft_fraction = 0.25};
  const auto l1 = [&](double progress) {
    Rng rng(1, "test");
    return tokenizer_loss(model, image, options, progress, rng).l1.item<double>();
  };
  const at::Tensor soft = (model.decode_latent(model.encode_latent(image).tanh()) - image).abs().mean();
  CHECK(l1(0) == Approx(soft.item<double>()).epsilon(1e-5));
  CHECK(l1(0.25) ==
        Approx((model.decode(model.encode(image)) - image).abs().mean().item<double>()).epsilon(1e-4));
  CHECK(l1(0) != Approx(l1(0.25)).epsilon(1e-4));
}

TEST_CASE(
    "the perceptual term is the mean LPIPS of the unclamped reconstruction and part of what it is weighed "
    "with") {
  at::manual_seed(7);
  const mmada::Magvit2 model = mmada::test::tiny_magvit();
  const mmada::Lpips lpips(at::kFloat);
  for (auto& [name, tensor] : lpips.parameters()) {
    const double spread =
        name.starts_with("lin") ? 1.0 : std::sqrt(2.0 / static_cast<double>(tensor[0].numel()));
    tensor.copy_(tensor.dim() == 1 ? at::zeros_like(tensor) : at::randn_like(tensor) * spread);
    if (name.starts_with("lin")) tensor.abs_();
  }
  const at::Tensor image = at::rand({2, 3, 16, 16}) * 2 - 1;
  TokenizerLossOptions options{.l1 = 0.5, .mse = 0.25, .lpips = 3.0};
  Rng rng(1, "test");
  const auto loss = tokenizer_loss(model, image, options, 0.5, rng, &lpips);
  const at::Tensor distance = lpips.distance(model.decode(model.encode(image)), image);
  CHECK(loss.lpips.item<double>() == Approx(distance.mean().item<double>()).epsilon(1e-4));
  CHECK(loss.lpips.item<double>() > 1e-3);
  CHECK(
      loss.reconstruction.item<double>() ==
      Approx(0.5 * loss.l1.item<double>() + 0.25 * loss.mse.item<double>() + 3 * loss.lpips.item<double>()));
  CHECK(loss.total.item<double>() ==
        Approx(loss.reconstruction.item<double>() + 0.1 * loss.entropy.item<double>() +
               0.1 * loss.commitment.item<double>()));
  CHECK_THROWS_WITH(tokenizer_loss(model, image, options, 0.5, rng), Catch::Contains("lpips_from"));
}

TEST_CASE("the loss takes the entropy that its options name") {
  at::manual_seed(7);
  const mmada::Magvit2 model = mmada::test::tiny_magvit();
  const at::Tensor image = at::rand({2, 3, 16, 16}) * 2 - 1;
  Rng rng(1, "test");
  TokenizerLossOptions options;
  options.lfq.entropy = mmada::LfqEntropy::kCodes;
  const auto [per_sample, of_mean] = mmada::code_entropy(model.encode_latent(image), 0.01);
  CHECK(tokenizer_loss(model, image, options, 0.5, rng).entropy.item<double>() ==
        Approx((per_sample - of_mean).item<double>()).epsilon(1e-4));
}
