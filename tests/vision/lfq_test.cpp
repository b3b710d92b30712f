// SPDX-License-Identifier: MIT
#include "mmada/vision/lfq.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "mmada/core/check.h"

TEST_CASE("channel 0 is the most significant bit of a code and zero counts as minus one") {
  const at::Tensor latent = at::tensor({0.5f, -0.1f, 0.0f, 2.0f}).view({1, 4, 1, 1});
  CHECK(mmada::latent_to_codes(latent).item<int64_t>() == 0b1001);
}

TEST_CASE("every code survives the way to latents and back") {
  const int64_t bits = 11;
  const at::Tensor codes = at::arange(1 << bits, at::kLong).view({2, 32, 32});
  const at::Tensor latent = mmada::codes_to_latent(codes, bits, at::kFloat);
  CHECK(latent.sizes() == at::IntArrayRef({2, bits, 32, 32}));
  CHECK(latent.abs().eq(1).all().item<bool>());
  CHECK(mmada::latent_to_codes(latent).equal(codes));
}

TEST_CASE("codes outside the codebook are refused") {
  const auto decode = [](int64_t code) {
    return mmada::codes_to_latent(at::full({1, 1, 1}, code, at::kLong), 4, at::kFloat);
  };
  CHECK_NOTHROW(decode(15));
  CHECK_THROWS_AS(decode(16), mmada::Error);
  CHECK_THROWS_AS(decode(-1), mmada::Error);
}
