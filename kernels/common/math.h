// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/common/host_device.h"

namespace mmada::kernels {

/// e^x to about one unit in the last place, without branches or calls, so that loops over it vectorise.
/// Saturates outside [-87.3, 88.3] (to about 1e-38 and 2e38); NaN stays NaN.
MMADA_HOST_DEVICE inline float vector_exp(float x) {
  x = x > 88.3f ? 88.3f : x;
  x = x < -87.3f ? -87.3f : x;
  // adding 1.5 * 2^23 rounds x / ln 2 to the nearest integer and leaves it in the low bits
  constexpr float kRound = 12582912.0f;
  const float rounded = x * 1.44269504f + kRound;
  const float n = rounded - kRound;
  // ln 2 in two parts: n times the first is exact
  const float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
  float p = 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &rounded, sizeof bits);
  const uint32_t power_bits = (bits + 127u) << 23;  // the constant's own bits leave through the top
  float power;
  std::memcpy(&power, &power_bits, sizeof power);
  return p * power;
}

/// x * sigmoid(x).
MMADA_HOST_DEVICE inline float silu(float x) { return x / (1.0f + vector_exp(-x)); }

}  // namespace mmada::kernels
