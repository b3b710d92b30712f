// SPDX-License-Identifier: MIT
#include <cuda_fp16.h>
#include <catch2/catch.hpp>
#include <limits>

#include "emulation.h"
#include "kernels/lfq/lfq.h"
#include "sparse.h"

using namespace mmada::kernels;
using emulation::finished;
using emulation::host;
using emulation::Shared;

TEST_CASE("the CUDA kernel packs the CPU kernel's codes, ties and NaN included", "[tiny]") {
  constexpr int64_t kBatch = 3, kBits = 13, kPositions = 97;
  Shared<float> latent = emulation::normals<Shared<float>>(kBatch * kBits * kPositions, 5);
  latent[3] = latent[500] = 0.0f;
  latent[7] = -0.0f;
  latent[90] = std::numeric_limits<float>::quiet_NaN();
  Shared<int64_t> expected(kBatch * kPositions), codes(expected.size());
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
    REQUIRE(finished(lfq_pack_cuda(params, {})) == Status::kOk);
    CHECK(codes == expected);
  }
}

TEMPLATE_TEST_CASE("the CUDA kernels give every code back", "", float, BFloat16, __half) {
  constexpr FloatType kType = std::is_same_v<TestType, float>      ? FloatType::kF32
                              : std::is_same_v<TestType, BFloat16> ? FloatType::kBF16
                                                                   : FloatType::kF16;
  constexpr int64_t kBits = 9, kPositions = int64_t{1} << kBits;
  Shared<int64_t> codes(kPositions), again(kPositions, -1);
  for (int64_t i = 0; i < kPositions; ++i) codes[i] = i * 5 % kPositions;
  Shared<TestType> latent(kPositions * kBits);
  REQUIRE(finished(lfq_unpack_cuda({codes.data(), latent.data(), kType, 1, kBits, kPositions}, {})) ==
          Status::kOk);
  REQUIRE(finished(lfq_pack_cuda({latent.data(), kType, again.data(), 1, kBits, kPositions}, {})) ==
          Status::kOk);
  CHECK(again == codes);
}

TEST_CASE("codes of any number of positions come back under every schedule", "[tiny]") {
  std::vector<int64_t> sizes = {33, 1, 97, 1025};
  if (mmada::simt::thread_sanitizer()) sizes.resize(1);
  for (const int64_t positions : sizes) {
    Shared<int64_t> codes(2 * positions), again(2 * positions);
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<int64_t>(i * 37 % 32);
    Shared<float> latent(codes.size() * 5);
    for (const emulation::Way way : emulation::all_ways()) {
      emulation::use(way);
      std::fill(latent.begin(), latent.end(), 0.0f);
      REQUIRE(finished(lfq_unpack_cuda({codes.data(), latent.data(), FloatType::kF32, 2, 5, positions},
                                       {})) == Status::kOk);
      REQUIRE(finished(lfq_pack_cuda({latent.data(), FloatType::kF32, again.data(), 2, 5, positions}, {})) ==
              Status::kOk);
      CHECK(again == codes);
    }
  }
}

TEST_CASE("more positions than one grid holds are all packed") {
  constexpr int64_t kPositions = 4096 * 256 + 33;  // blocks_for stops at 4096 blocks of 256
  Shared<float> latent(kPositions, 1.0f);
  Shared<int64_t> codes(kPositions, -1);
  emulation::use({mmada::simt::Schedule::kReverse, true});
  REQUIRE(finished(lfq_pack_cuda({latent.data(), FloatType::kF32, codes.data(), 1, 1, kPositions}, {})) ==
          Status::kOk);
  CHECK(host(codes) == std::vector<int64_t>(kPositions, 1));
}

TEST_CASE("empty batches launch nothing and bad bits are refused", "[tiny]") {
  mmada::simt::reset_statistics();
  CHECK(lfq_pack_cuda({.bits = 8}, {}) == Status::kOk);
  CHECK(lfq_pack_cuda({.bits = 63}, {}) == Status::kInvalid);
  CHECK(lfq_unpack_cuda({.bits = 0}, {}) == Status::kInvalid);
  CHECK(mmada::simt::statistics().launches == 0);
}

TEST_CASE("codes of latents beyond 2^31 elements are packed and unpacked") {
  if (emulation::on_device()) return;
  constexpr int64_t kGrid = 4096 * 256, kPositions = (int64_t{1} << 28) + kGrid, kBits = 9,
                    kLast = kPositions - 1;
  static_assert(kBits * kPositions > emulation::kBeyond);
  emulation::Sparse<__half> latent(kBits * kPositions), again(kBits * kPositions);
  emulation::Sparse<int64_t> codes(kPositions);
  const auto at = [&](auto& array, int64_t bit) -> __half& { return array.data()[bit * kPositions + kLast]; };
  for (const int64_t bit : {0, 3, 8}) at(latent, bit) = __float2half(2.0f);
  const emulation::LastBlockOnly last;
  REQUIRE(lfq_pack_cuda({latent.data(), FloatType::kF16, codes.data(), 1, kBits, kPositions}, {}) ==
          Status::kOk);
  CHECK(codes.data()[kLast] == 0b100100001);
  REQUIRE(lfq_unpack_cuda({codes.data(), again.data(), FloatType::kF16, 1, kBits, kPositions}, {}) ==
          Status::kOk);
  for (int64_t bit = 0; bit < kBits; ++bit)
    CHECK(__half2float(at(again, bit)) == (bit == 0 || bit == 3 || bit == 8 ? 1.0f : -1.0f));
}
