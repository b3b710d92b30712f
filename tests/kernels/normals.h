// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace emulation {

/// Standard normal numbers, the same for a seed everywhere.
template <class Vector = std::vector<float>>
Vector normals(size_t count, uint32_t seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  Vector values(count);
  // the sum of twelve uniforms: the library's normal distribution differs between implementations
  for (float& value : values) {
    double sum = -6.0;
    for (int i = 0; i < 12; ++i) sum += generator() / 4294967296.0;
    value = static_cast<float>(sum) * scale;
  }
  return values;
}

}  // namespace emulation
