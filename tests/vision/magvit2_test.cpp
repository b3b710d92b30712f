// SPDX-License-Identifier: MIT
#include "mmada/vision/magvit2.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <map>

namespace {

mmada::Magvit2 small_tokenizer(int64_t channels = 16) {
  mmada::Magvit2 model({.channels = channels,
                        .bits = 6,
                        .encoder_mult = {1, 2, 2},
                        .encoder_blocks = {1, 1, 1},
                        .decoder_mult = {1, 2, 2},
                        .decoder_blocks = {1, 1, 1},
                        .norm_groups = 8},
                       at::kFloat);
  initialize(model, 7);
  return model;
}

}  // namespace

TEST_CASE("the published image tokenizer has the published names and shapes") {
  const mmada::Magvit2 model({}, at::TensorOptions(at::kFloat).device(at::kMeta));
  std::map<std::string, std::vector<int64_t>> shape;
  int64_t parameters = 0;
  for (const auto& [name, tensor] : model.parameters()) {
    shape[name] = tensor.sizes().vec();
    parameters += tensor.numel();
  }
  using Shape = std::vector<int64_t>;
  CHECK(shape.at("encoder.conv_in.weight") == Shape{128, 3, 3, 3});
  CHECK(shape.at("encoder.down.1.block.0.nin_shortcut.weight") == Shape{256, 128, 1, 1});
  CHECK(shape.at("encoder.down.3.downsample.conv.weight") == Shape{512, 512, 3, 3});
  CHECK(shape.at("encoder.mid.attn_1.proj_out.weight") == Shape{512, 512, 1, 1});
  CHECK(shape.at("encoder.quant_conv.bias") == Shape{13});
  CHECK(shape.at("decoder.up.3.block.0.conv1.weight") == Shape{256, 512, 3, 3});
  CHECK(shape.at("decoder.up.1.block.3.conv2.weight") == Shape{128, 128, 3, 3});
  CHECK(shape.at("decoder.up.1.upsample.conv.weight") == Shape{128, 128, 3, 3});
  CHECK(shape.count("encoder.down.4.downsample.conv.weight") == 0);
  CHECK(shape.count("decoder.up.0.upsample.conv.weight") == 0);
  CHECK(parameters * 4 == Approx(382e6).epsilon(0.01));  // the published file: 382 MB of fp32
}

TEST_CASE("pictures of any size divisible by the factor become codes and pictures again") {
  at::manual_seed(7);
  const mmada::Magvit2 model = small_tokenizer();
  for (const auto& [height, width] : {std::pair{4, 4}, {12, 20}, {8, 36}}) {
    const at::Tensor codes = model.encode(at::rand({2, 3, height, width}) * 2 - 1);
    CHECK(codes.sizes() == at::IntArrayRef({2, height / 4, width / 4}));
    CHECK(codes.scalar_type() == at::kLong);
    CHECK(model.decode(codes).sizes() == at::IntArrayRef({2, 3, height, width}));
  }
  CHECK_THROWS_AS(model.encode(at::zeros({1, 3, 8, 6})), mmada::Error);
  CHECK_THROWS_AS(model.encode(at::zeros({1, 1, 8, 8})), mmada::Error);
  CHECK_THROWS_AS(model.encode(at::zeros({1, 3, 0, 8})), mmada::Error);
}

TEST_CASE("initialisation depends on the seed and the parameter's name alone") {
  const auto first = small_tokenizer().parameters(), again = small_tokenizer().parameters();
  for (size_t i = 0; i < first.size(); ++i) CHECK(first[i].second.equal(again[i].second));
  for (const auto& [name, tensor] : first) {
    if (name != "encoder.down.0.block.0.conv1.weight") continue;
    const double bound = 1 / std::sqrt(16.0 * 9);
    CHECK(tensor.abs().max().item<double>() <= bound);
    CHECK(tensor.std().item<double>() == Approx(bound / std::sqrt(3.0)).epsilon(0.05));
  }
}

TEST_CASE("the inference path gives what the differentiable path gives") {
  at::manual_seed(7);
  for (const int64_t channels : {16, 64}) {  // below and above what the 3x3 kernel takes
    const mmada::Magvit2 model = small_tokenizer(channels);
    const at::Tensor image = at::rand({3, 3, 12, 20}) * 2 - 1;
    const at::Tensor latent = model.encode_latent(image), picture = model.decode_latent(latent);
    CHECK(model.encode_latent(image).equal(latent));
    for (const auto& [name, tensor] : model.parameters()) tensor.requires_grad_(true);
    CHECK(model.encode_latent(image).allclose(latent, 1e-5, 1e-5));
    CHECK(model.decode_latent(latent).allclose(picture, 1e-5, 1e-5));
    CHECK(model.encode_latent(image).requires_grad());
  }
}

TEST_CASE("pictures pass through a bf16 tokenizer with bf16's precision") {
  at::manual_seed(7);
  const mmada::Magvit2 model = small_tokenizer();
  mmada::Magvit2 half(model.config(), at::kBFloat16);
  const auto from = model.parameters(), to = half.parameters();
  for (size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].second).copy_(from[i].second);
  const at::Tensor image = at::rand({1, 3, 16, 16}) * 2 - 1;
  const at::Tensor expected = model.encode_latent(image);
  const at::Tensor error = (half.encode_latent(image).to(at::kFloat) - expected).abs();
  CHECK(error.max().item<double>() < 0.05 * expected.abs().max().item<double>());
}

TEST_CASE("gradients reach every parameter of the image tokenizer") {
  at::manual_seed(7);
  const mmada::Magvit2 model = small_tokenizer();
  const auto parameters = model.parameters();
  for (const auto& [name, tensor] : parameters) tensor.requires_grad_(true);
  const at::Tensor image = at::rand({2, 3, 16, 16}) * 2 - 1;
  (model.decode_latent(model.encode_latent(image).tanh()) - image).square().mean().backward();
  for (const auto& [name, tensor] : parameters) {
    INFO(name);
    REQUIRE(tensor.grad().defined());
    // a bias of the keys shifts all of a query's scores alike: softmax does not see it
    if (!name.ends_with("attn_1.k.bias")) CHECK(tensor.grad().abs().max().item<double>() > 0);
  }
}
