// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/common/host_device.h"

namespace mmada::kernels {

/// Element types of activations; arithmetic is fp32 throughout.
enum class FloatType { kF32, kBF16, kF16 };

/// The upper half of an fp32.
struct BFloat16 {
  uint16_t bits;
};

MMADA_HOST_DEVICE inline float to_float(float x) { return x; }
MMADA_HOST_DEVICE inline float to_float(BFloat16 x) {
  const uint32_t wide = static_cast<uint32_t>(x.bits) << 16;
  float result;
  std::memcpy(&result, &wide, sizeof result);
  return result;
}

MMADA_HOST_DEVICE inline void from_float(float x, float& out) { out = x; }
/// Rounds to nearest, ties to even; NaN keeps a set bit in what remains of it.
MMADA_HOST_DEVICE inline void from_float(float x, BFloat16& out) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  out.bits = static_cast<uint16_t>(x == x ? rounded : (bits >> 16) | 0x40u);
}

}  // namespace mmada::kernels
