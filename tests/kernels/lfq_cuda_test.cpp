// SPDX-License-Identifier: MIT
#include <cuda_fp16.h>
#include <catch2/catch.hpp>
#include <limits>

#include "emulation.h"
#include "kernels/lfq/lfq.h"

using namespace mmada::kernels;

TEST_CASE("the CUDA kernel packs the CPU kernel's codes, ties and NaN included", "[tiny]") {
  constexpr int64_t kBatch = 3, kBits = 13, kPositions = 97;
  std::vector<float> latent = emulation::normals(kBatch * kBits * kPositions, 5);
  latent[3] = latent[500] = 0.0f;
  latent[7] = -0.0f;
  latent[90] = std::numeric_limits<float>::quiet_NaN();
  std::vector<int64_t> expected(kBatch * kPositions), codes(expected.size());
  LfqPackParams params{.latent = latent.data(),
                       .codes = expected.data(),
                       .batch = kBatch,
                       .bits = kBits,
                       .positions = kPositions};
  REQUIRE(lfq_pack(params, {}) == Status::kOk);
  params.codes = codes.data();
  for (const emulation::Way way : emulation::all_ways()) {
    emulation::use(way);
    codes.assign(codes.size(), -1);
    REQUIRE(lfq_pack_cuda(params, {}) == Status::kOk);
    CHECK(codes == expected);
  }
}

TEMPLATE_TEST_CASE("the CUDA kernels give every code back", "", float, BFloat16, __half) {
  constexpr FloatType kType = std::is_same_v<TestType, float>      ? FloatType::kF32
                              : std::is_same_v<TestType, BFloat16> ? FloatType::kBF16
                                                                   : FloatType::kF16;
  constexpr int64_t kBits = 9, kPositions = int64_t{1} << kBits;
  std::vector<int64_t> codes(kPositions), again(kPositions, -1);
  for (int64_t i = 0; i < kPositions; ++i) codes[i] = i * 5 % kPositions;
  std::vector<TestType> latent(kPositions * kBits);
  REQUIRE(lfq_unpack_cuda({codes.data(), latent.data(), kType, 1, kBits, kPositions}, {}) == Status::kOk);
  REQUIRE(lfq_pack_cuda({latent.data(), kType, again.data(), 1, kBits, kPositions}, {}) == Status::kOk);
  CHECK(again == codes);
}

TEST_CASE("more positions than one grid holds are all packed") {
  constexpr int64_t kPositions = 4096 * 256 + 33;  // blocks_for stops at 4096 blocks of 256
  std::vector<float> latent(kPositions, 1.0f);
  std::vector<int64_t> codes(kPositions, -1);
  emulation::use({mmada::simt::Schedule::kReverse, true});
  REQUIRE(lfq_pack_cuda({latent.data(), FloatType::kF32, codes.data(), 1, 1, kPositions}, {}) == Status::kOk);
  CHECK(codes == std::vector<int64_t>(kPositions, 1));
}

TEST_CASE("empty batches launch nothing and bad bits are refused", "[tiny]") {
  mmada::simt::reset_statistics();
  CHECK(lfq_pack_cuda({.bits = 8}, {}) == Status::kOk);
  CHECK(lfq_pack_cuda({.bits = 63}, {}) == Status::kInvalid);
  CHECK(lfq_unpack_cuda({.bits = 0}, {}) == Status::kInvalid);
  CHECK(mmada::simt::statistics().launches == 0);
}
