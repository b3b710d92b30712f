// SPDX-License-Identifier: MIT
#include "kernels/simt/emulator.h"

#include <catch2/catch.hpp>

#include "simt_claims.h"

using namespace simt_samples;

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
