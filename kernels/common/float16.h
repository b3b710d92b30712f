// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>

namespace mmada::kernels {

/// IEEE binary16. Conversions are integer arithmetic and selections, so that loops over them vectorise on any
/// processor.
struct Float16 {
  uint16_t bits;
};

inline float to_float(Float16 x) {
  // the exponent's bias is 112 greater in fp32; the product is exact, subnormal numbers included
  const uint32_t magnitude = static_cast<uint32_t>(x.bits & 0x7FFFu) << 13;
  float result;
  std::memcpy(&result, &magnitude, sizeof result);
  result *= 0x1p112f;
  uint32_t bits;
  std::memcpy(&bits, &result, sizeof bits);
  bits = magnitude >= 0x0F800000u ? magnitude | 0x7F800000u : bits;  // infinity and NaN
  bits |= static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

/// Rounds to nearest, ties to even; 65520 and above become infinity.
inline void from_float(float x, Float16& out) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t sign = bits & 0x80000000u, magnitude = bits ^ sign;
  const uint32_t normal = (magnitude - 0x38000000u + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  // below 2^-14 the sum with 0.5 leaves the rounded mantissa in the low bits
  float shifted;
  std::memcpy(&shifted, &magnitude, sizeof shifted);
  shifted += 0.5f;
  uint32_t subnormal;
  std::memcpy(&subnormal, &shifted, sizeof subnormal);
  subnormal -= 0x3F000000u;
  uint32_t result = magnitude < 0x38800000u ? subnormal : normal;
  result = magnitude >= 0x47800000u ? 0x7C00u : result;
  result = magnitude > 0x7F800000u ? 0x7E00u : result;
  out.bits = static_cast<uint16_t>(result | sign >> 16);
}

}  // namespace mmada::kernels
