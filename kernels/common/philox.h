// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "kernels/common/host_device.h"

namespace mmada::kernels {

/// Philox4x32-10 (Salmon et al. 2011): 128 random bits as a pure function of a 64-bit key and a 128-bit
/// counter.
///
/// The same bits on every device and in any order, which is what makes batched sampling equal to sampling
/// alone.
MMADA_HOST_DEVICE inline void philox4x32(uint64_t key, const uint32_t counter[4], uint32_t out[4]) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
    const uint32_t h0 = static_cast<uint32_t>(p0 >> 32), h1 = static_cast<uint32_t>(p1 >> 32);
    c0 = h1 ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = h0 ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/// The same for kLanes counters side by side, in place, as loops that vectorise.
template <int kLanes>
inline void philox4x32_lanes(uint64_t key, uint32_t* c0, uint32_t* c1, uint32_t* c2, uint32_t* c3) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const uint64_t p0 = 0xD2511F53ull * c0[lane], p1 = 0xCD9E8D57ull * c2[lane];
      c0[lane] = static_cast<uint32_t>(p1 >> 32) ^ c1[lane] ^ k0;
      c2[lane] = static_cast<uint32_t>(p0 >> 32) ^ c3[lane] ^ k1;
      c1[lane] = static_cast<uint32_t>(p1);
      c3[lane] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

/// A uniform number in (0, 1) from 32 bits: never 0 and never 1, so that both logarithms of Gumbel noise are
/// finite.
MMADA_HOST_DEVICE inline float open_unit_float(uint32_t bits) {
  return (static_cast<float>(bits >> 9) + 0.5f) * (1.0f / 8388608.0f);
}

/// The host's block form of philox4x32, for callers that want a value type.
std::array<uint32_t, 4> philox4x32(uint64_t key, const std::array<uint32_t, 4>& counter);

}  // namespace mmada::kernels
