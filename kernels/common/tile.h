// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/common/float16.h"
#include "kernels/common/float_types.h"

/// What CPU kernels that go over arrays share. They widen some elements into buffers of their own, work on
/// those and round them into place: the loops vectorise for every type, and an output may be an input.
namespace mmada::kernels {

constexpr int64_t kTile = 64;
/// Elements that a chunk of work holds at least: constant, so that chunks depend on the shape alone.
constexpr int64_t kChunkElements = 16384;

/// Calls body(begin, count) for [0, size); but for the last tile the compiler knows the count.
template <class Body>
[[gnu::always_inline]] inline void for_tiles(int64_t size, const Body& body) {
  int64_t begin = 0;
  for (; begin + kTile <= size; begin += kTile) body(begin, kTile);
  if (begin < size) body(begin, size - begin);
}

template <class T>
[[gnu::always_inline]] inline void widen(const T* from, int64_t count, float (&to)[kTile]) {
  for (int64_t c = 0; c < count; ++c) to[c] = to_float(from[c]);
}
template <class T>
[[gnu::always_inline]] inline void narrow(const float (&from)[kTile], int64_t count, T* to) {
  for (int64_t c = 0; c < count; ++c) from_float(from[c], to[c]);
}
/// Sum of the lanes, always in the same order.
[[gnu::always_inline]] inline float sum_lanes(float (&lanes)[kTile]) {
  for (int64_t width = kTile / 2; width > 0; width /= 2)
    for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  return lanes[0];
}

/// One of three functions, by the type of the elements.
template <class Function>
Function of_type(FloatType type, Function f32, Function bf16, Function f16) {
  if (type == FloatType::kF32) return f32;
  return type == FloatType::kBF16 ? bf16 : f16;
}

}  // namespace mmada::kernels
