// SPDX-License-Identifier: MIT
#include "kernels/lfq/lfq.h"

#include <catch2/catch.hpp>
#include <limits>
#include <vector>

using namespace mmada::kernels;

TEST_CASE("packing writes channel 0 as the highest bit and treats zero, negatives and NaN as 0") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  // two positions, four channels
  const std::vector<float> latent = {1e-30f, -1.0f, 0.0f, nan, -0.0f, 3.0f, 2.0f, -2.0f};
  std::vector<int64_t> codes(3, 77);
  const LfqPackParams params{
      .latent = latent.data(), .codes = codes.data(), .batch = 1, .bits = 4, .positions = 2};
  REQUIRE(lfq_pack(params, {}) == Status::kOk);
  CHECK(codes == std::vector<int64_t>{0b1001, 0b0010, 77});
}

TEST_CASE("unpacking and packing give every code back in both element types") {
  constexpr int64_t kBits = 13, kPositions = int64_t{1} << kBits;
  std::vector<int64_t> codes(2 * kPositions), again(codes.size(), -1);
  for (int64_t i = 0; i < std::ssize(codes); ++i) codes[i] = i * 5 % kPositions;
  for (const FloatType type : {FloatType::kF32, FloatType::kBF16}) {
    std::vector<float> latent(codes.size() * kBits);
    const LfqUnpackParams unpack{.codes = codes.data(),
                                 .latent = latent.data(),
                                 .type = type,
                                 .batch = 2,
                                 .bits = kBits,
                                 .positions = kPositions};
    REQUIRE(lfq_unpack(unpack, {}) == Status::kOk);
    const LfqPackParams pack{.latent = latent.data(),
                             .type = type,
                             .codes = again.data(),
                             .batch = 2,
                             .bits = kBits,
                             .positions = kPositions};
    REQUIRE(lfq_pack(pack, {}) == Status::kOk);
    CHECK(again == codes);
    if (type != FloatType::kF32) continue;
    bool signs = true;
    for (const float v : latent) signs &= v == 1.0f || v == -1.0f;
    CHECK(signs);
  }
}

TEST_CASE("codes of too many bits and types without a kernel are refused") {
  CHECK(lfq_pack({.bits = 63}, {}) == Status::kInvalid);
  CHECK(lfq_unpack({.bits = 0}, {}) == Status::kInvalid);
  CHECK(lfq_pack({.type = FloatType::kF16, .bits = 8}, {}) == Status::kUnsupported);
  CHECK(lfq_pack({.bits = 8}, {}) == Status::kOk);
}
