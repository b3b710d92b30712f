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

/// ln x of a positive normal number to a few units in the last place, near 1 too; without branches or calls.
/// The polynomial is that of Cephes' logf.
MMADA_HOST_DEVICE inline float vector_log(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  // mantissa in [sqrt(1/2), sqrt(2)): subtract the exponent that leaves it there
  const uint32_t shifted = bits - 0x3F3504F3u;
  const int32_t exponent = static_cast<int32_t>(shifted) >> 23;
  const uint32_t mantissa_bits = (shifted & 0x007FFFFFu) + 0x3F3504F3u;
  float m;
  std::memcpy(&m, &mantissa_bits, sizeof m);
  m -= 1.0f;
  const float e = static_cast<float>(exponent), square = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const float tail = p * m * square - 2.12194440e-4f * e - 0.5f * square;
  return m + tail + 0.693359375f * e;
}

/// x * sigmoid(x).
MMADA_HOST_DEVICE inline float silu(float x) { return x / (1.0f + vector_exp(-x)); }

}  // namespace mmada::kernels
