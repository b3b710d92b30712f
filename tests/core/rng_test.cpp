// SPDX-License-Identifier: MIT
#include "mmada/core/rng.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/common/philox.h"

using namespace mmada;

TEST_CASE("philox4x32 gives Random123's known answers") {
  using Bits = std::array<uint32_t, 4>;
  CHECK(kernels::philox4x32(0, Bits{0, 0, 0, 0}) == Bits{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(kernels::philox4x32(~0ull, Bits{~0u, ~0u, ~0u, ~0u}) ==
        Bits{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(kernels::philox4x32(0x299f31d0a4093822ull, Bits{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}) ==
        Bits{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a stream continues from its saved position") {
  Rng rng(7, "noise", 3);
  for (int i = 0; i < 5; ++i) rng.next_u32();
  Rng other(7, "noise", 3);
  other.set_position(rng.position());
  CHECK(rng.next_u64() == other.next_u64());
}

TEST_CASE("streams with different names, numbers or seeds differ") {
  const uint64_t base = Rng(1, "a").next_u64();
  CHECK(base != Rng(1, "b").next_u64());
  CHECK(base != Rng(2, "a").next_u64());
  CHECK(base != Rng(1, "a", 1).next_u64());
}

TEST_CASE("uniform and normal numbers have their moments") {
  Rng rng(11, "moments");
  double sum = 0, square = 0, normal = 0, normal_square = 0;
  const int n = 20000;
  for (int i = 0; i < n; ++i) {
    const double u = rng.uniform(), z = rng.normal();
    REQUIRE((u >= 0 && u < 1));
    sum += u, square += u * u, normal += z, normal_square += z * z;
  }
  CHECK(std::abs(sum / n - 0.5) < 0.01);
  CHECK(std::abs(square / n - 1.0 / 3) < 0.01);
  CHECK(std::abs(normal / n) < 0.03);
  CHECK(std::abs(normal_square / n - 1) < 0.04);
}

TEST_CASE("a permutation holds every number once and below() stays below") {
  Rng rng(3, "perm");
  auto order = rng.permutation(100);
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 100; ++i) CHECK(order[i] == i);
  for (int i = 0; i < 1000; ++i) CHECK(rng.below(3) < 3);
}
