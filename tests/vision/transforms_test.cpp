// SPDX-License-Identifier: MIT
#include "mmada/vision/transforms.h"

#include <ATen/ATen.h>

#include <cmath>

#include "mmada/core/check.h"

// after torch's headers, whose logging has a CHECK of its own
#include <catch2/catch.hpp>

using mmada::Fit;
using mmada::Image;

namespace {

Image filled(int64_t width, int64_t height, int64_t channels, uint8_t value) {
  return {width, height, channels,
          std::vector<uint8_t>(static_cast<size_t>(width * height * channels), value)};
}

}  // namespace

TEST_CASE("pictures of the target's size become tensors in [-1, 1] and the same pictures again") {
  Image image = filled(4, 2, 3, 0);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 11);
  const at::Tensor tensor = mmada::image_to_tensor(image, 2, 4);
  CHECK(tensor.sizes() == at::IntArrayRef({3, 2, 4}));
  CHECK(tensor[2][1][3].item<float>() == Approx(23 * 11 / 127.5 - 1));
  // truncation may lose one step where (x / 255 - 0.5) / 0.5 rounded down
  const Image again = mmada::tensor_to_image(tensor);
  for (size_t i = 0; i < image.pixels.size(); ++i) CHECK(image.pixels[i] - again.pixels[i] <= 1);
}

TEST_CASE("tensors outside [-1, 1] are clamped and values between two bytes are truncated") {
  const at::Tensor tensor = at::tensor({-3.0f, 3.0f, 0.0f}).view({3, 1, 1});
  CHECK(mmada::tensor_to_image(tensor).pixels == std::vector<uint8_t>{0, 255, 127});
  CHECK_THROWS_AS(mmada::tensor_to_image(at::zeros({1, 2, 2})), mmada::Error);
}

TEST_CASE("grey pictures become three equal channels") {
  const at::Tensor tensor = mmada::image_to_tensor(filled(8, 8, 1, 51), 4, 4);
  CHECK(tensor.allclose(at::full({3, 4, 4}, 51 / 127.5 - 1)));
}

TEST_CASE("a cut-out lies anywhere in the picture that covers the target, every place equally likely") {
  Image image = filled(7, 4, 1, 0);  // columns 0 to 6, nothing to scale
  for (int64_t y = 0; y < 4; ++y)
    for (int64_t x = 0; x < 7; ++x) image.row(y)[x] = static_cast<uint8_t>(x);
  std::vector<int> places(4);
  for (int step = 0; step < 400; ++step) {
    const at::Tensor cut = mmada::cut_to_tensor(image, 4, 4, {.across = step / 400.0});
    const auto left = static_cast<int64_t>(std::lround((cut[0][0][0].item<double>() + 1) * 127.5));
    for (int64_t x = 0; x < 4; ++x)
      CHECK(cut[1][3][x].item<float>() == Approx(static_cast<double>(left + x) / 127.5 - 1).margin(1e-6));
    ++places.at(static_cast<size_t>(left));
  }
  CHECK(places == std::vector<int>{100, 100, 100, 100});
  CHECK(mmada::cut_to_tensor(filled(30, 90, 3, 9), 8, 8, {.down = 0.99}).sizes() ==
        at::IntArrayRef({3, 8, 8}));
  CHECK_THROWS_AS(mmada::cut_to_tensor(filled(0, 4, 3, 0), 8, 8, {}), mmada::Error);
}

TEST_CASE("a mask's light half becomes the token grid's half") {
  Image mask = filled(64, 64, 1, 0);
  for (int64_t y = 0; y < 64; ++y) std::fill(mask.row(y) + 32, mask.row(y) + 64, 255);
  const at::Tensor tokens = mmada::mask_to_tokens(mask, 32, 32, 8);
  CHECK(tokens.scalar_type() == at::kBool);
  CHECK(tokens.equal(at::tensor({0, 0, 1, 1}, at::kLong).gt(0).expand({4, 4})));
}

TEST_CASE("what padding adds to a mask is not redrawn") {
  const at::Tensor tokens = mmada::mask_to_tokens(filled(64, 32, 1, 255), 32, 32, 8, Fit::kPad);
  CHECK(tokens.equal(at::tensor({0, 1, 1, 0}, at::kLong).gt(0).unsqueeze(1).expand({4, 4})));
}

TEST_CASE("impossible sizes and fits are refused") {
  CHECK_THROWS_AS(mmada::fit_image(filled(0, 0, 3, 0), 8, 8), mmada::Error);
  CHECK_THROWS_AS(mmada::mask_to_tokens(filled(8, 8, 1, 0), 12, 8, 8), mmada::Error);
  CHECK_THROWS_AS(mmada::mask_to_tokens(filled(8, 8, 3, 0), 8, 8, 8), mmada::Error);
  CHECK_THROWS_AS(mmada::fit_from_name("crop"), mmada::UsageError);
}

TEST_CASE("a long and narrow picture is refused before it becomes a huge one on its way") {
  for (const auto& [width, height] : {std::pair{60000, 1}, std::pair{1, 60000}})
    for (const Fit fit : {Fit::kClip, Fit::kPad}) {
      INFO(width << "x" << height);
      CHECK_THROWS_WITH(mmada::fit_image(filled(width, height, 3, 9), 64, 64, fit),
                        Catch::Contains("which would pass through") && Catch::Contains("at most 67108864"));
    }
  CHECK(mmada::fit_image(filled(60000, 1, 3, 9), 64, 64, Fit::kSquash).pixels.size() == 64 * 64 * 3);
  CHECK(mmada::fit_image(filled(2000, 20, 3, 9), 64, 64, Fit::kClip).pixels[0] == 9);
}
