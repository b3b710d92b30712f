// SPDX-License-Identifier: MIT
#include "kernels/simt/emulator.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "emulation.h"
#include "simt_samples.h"

using namespace simt_samples;
using mmada::simt::Failure;
using mmada::simt::Schedule;

namespace {

constexpr int kBlocks = 3;

std::vector<float> run_block_sums(Bug bug) {
  std::vector<float> x(kBlocks * kTile), sums(kBlocks, -1.0f);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  block_sums(bug, x.data(), sums.data(), kBlocks);
  return sums;
}
bool block_sums_right(Bug bug) {
  // 64 consecutive integers from 64 b
  return run_block_sums(bug) == std::vector<float>{2016.0f, 6112.0f, 10208.0f};
}

bool tile_product_right(Bug bug, int k = 96) {
  std::vector<uint16_t> a(kTile * k), b(kTile * k);
  std::vector<float> c(kTile * kTile, -1.0f);
  const auto small = [](size_t i) { return static_cast<float>(static_cast<int>(i * 7 % 11) - 5); };
  const auto bf16 = [](float x) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16); };
  for (size_t i = 0; i < a.size(); ++i) a[i] = bf16(small(i)), b[i] = bf16(small(i * i + 3));
  tile_product(bug, a.data(), b.data(), c.data(), k);
  for (int i = 0; i < kTile; ++i)
    for (int j = 0; j < kTile; ++j) {
      float exact = 0;  // small integers: fp32 is exact in any order
      for (int n = 0; n < k; ++n) {
        const auto at = [&](int row) { return static_cast<size_t>(row * k + n); };
        exact += small(at(i)) * small(at(j) * at(j) + 3);
      }
      if (!(c[i * kTile + j] == exact)) return false;
    }
  return true;
}

std::vector<std::string> ways_that_fail(bool (*right)(Bug), Bug bug) {
  std::vector<std::string> failing;
  for (const emulation::Way way : emulation::all_ways()) {
    emulation::use(way);
    if (!right(bug)) failing.push_back(emulation::name(way));
  }
  return failing;
}
bool product_right(Bug bug) { return tile_product_right(bug); }

}  // namespace

TEST_CASE("correct kernels give exact results under every schedule and both kinds of copies", "[tiny]") {
  CHECK(ways_that_fail(block_sums_right, Bug::kNone).empty());
  CHECK(ways_that_fail(product_right, Bug::kNone).empty());
}

TEST_CASE("warp collectives give every lane what CUDA's manual says", "[tiny]") {
  std::vector<uint32_t> out(32 * 8);
  for (const emulation::Way way : emulation::all_ways()) {
    emulation::use(way);
    collectives(out.data());
    bool right = true;
    for (uint32_t lane = 0; lane < 32; ++lane) {
      const uint32_t* o = out.data() + lane * 8;
      right &= o[0] == 5 && o[1] == (lane ^ 3u) && o[2] == (lane < 28 ? lane + 4 : lane);
      right &= o[3] == (lane % 8 >= 4 ? lane - 4 : lane);
      right &= o[4] == (lane % 2 != 0 ? 0x80000000u : 0x11111111u);
      right &= o[5] == (lane % 2 != 0 ? 1u : 2u) && o[6] == 1;
    }
    CHECK(right);
    CHECK(out[7] == 31 * 32 / 2);
  }
}

TEST_CASE("fair turns hide a missing barrier and greedy ones show it") {
  const auto failing = ways_that_fail(block_sums_right, Bug::kNoBarrier);
  CHECK(failing.size() >= 4);
  for (const std::string& way : failing) CHECK(way.find("fair") == std::string::npos);
}

TEST_CASE("a tile read before the other warps' copies have landed is noticed") {
  CHECK_FALSE(ways_that_fail(product_right, Bug::kNoBarrier).empty());
}

TEST_CASE("shared memory overwritten too early is noticed") {
  CHECK_FALSE(ways_that_fail(block_sums_right, Bug::kNoTrailingBarrier).empty());
  CHECK_FALSE(ways_that_fail(product_right, Bug::kNoTrailingBarrier).empty());
}

TEST_CASE("late copies show a missing wait under every schedule, as NaN") {
  CHECK(ways_that_fail(product_right, Bug::kNoWait).size() >= 4);
}

TEST_CASE("a swapped fragment is a wrong product under every schedule") {
  CHECK(ways_that_fail(product_right, Bug::kSwappedFragment).size() == 8);
}

TEST_CASE("bank conflicts of ldmatrix are counted") {
  mmada::simt::reset_statistics();
  CHECK(tile_product_right(Bug::kNone));
  CHECK(mmada::simt::statistics().ldmatrix == 4 * 3 * 2 * 5);
  CHECK(mmada::simt::statistics().mma == 4 * 3 * 2 * 8);
  CHECK(mmada::simt::statistics().ldmatrix_conflicts == 0);
  CHECK(tile_product_right(Bug::kNoSwizzle));
  CHECK(mmada::simt::statistics().ldmatrix_conflicts > 1000);
}

TEST_CASE("a barrier that not all threads reach is reported with its line") {
  CHECK_THROWS_WITH(run_block_sums(Bug::kDivergentBarrier),
                    Catch::Contains("__syncthreads") && Catch::Contains("line"));
  CHECK_THROWS_WITH(run_block_sums(Bug::kMixedCollectives), Catch::Contains("lanes of a warp disagree"));
  CHECK(block_sums_right(Bug::kNone));  // and the next launch is unharmed
}

TEST_CASE("a copy that nobody waited for is reported") {
  CHECK_THROWS_WITH(product_right(Bug::kForgottenCopy), Catch::Contains("never waited for"));
}

// What only a sanitizer sees: run one at a time by CMakeLists.txt, which looks for the report.
TEST_CASE("races inside a block", "[.race]") { block_sums_right(Bug::kNoBarrier); }
TEST_CASE("races between blocks", "[.block-race]") { run_block_sums(Bug::kSharedOutput); }
TEST_CASE("overruns of shared memory", "[.overrun]") { run_block_sums(Bug::kOverrun); }
