// SPDX-License-Identifier: MIT
// What device.cuh and CUDA's own collectives do, on the emulator and on a GPU: copies, barriers, ldmatrix,
// mma, votes, shuffles.
#include <algorithm>
#include <catch2/catch.hpp>

#include "simt_claims.h"

using namespace simt_samples;

TEST_CASE("correct kernels give exact results under every schedule and both kinds of copies", "[tiny]") {
  CHECK(ways_that_fail(block_sums_right, Bug::kNone).empty());
  CHECK(ways_that_fail(product_right, Bug::kNone).empty());
}

TEST_CASE("warp collectives give every lane what CUDA's manual says", "[tiny]") {
  emulation::Shared<uint32_t> out(32 * 8);
  for (const emulation::Way way : emulation::all_ways()) {
    emulation::use(way);
    std::fill(out.begin(), out.end(), 0);
    collectives(out.data());
    (void)emulation::finished({});
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
