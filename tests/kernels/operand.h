// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <type_traits>

#include "emulation.h"
#include "kernels/common/float_types.h"

/// Arrays of a device type beside the same values in fp32, and the rule for how close a kernel has to come.
namespace emulation {

inline float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
inline float widen(__half x) { return __half2float(x); }
inline float widen(float x) { return x; }
template <class T>
T narrow(double x) {
  if constexpr (std::is_same_v<T, float>)
    return static_cast<float>(x);
  else if constexpr (std::is_same_v<T, __half>)
    return __double2half(x);
  else
    return __double2bfloat16(x);
}
template <class T>
constexpr mmada::kernels::FloatType float_type() {
  using mmada::kernels::FloatType;
  if (std::is_same_v<T, float>) return FloatType::kF32;
  return std::is_same_v<T, __half> ? FloatType::kF16 : FloatType::kBF16;
}
/// The distance of neighbouring values at 1.
template <class T>
constexpr double unit() {
  if (std::is_same_v<T, float>) return 1.0 / (1 << 23);
  return std::is_same_v<T, __half> ? 1.0 / 1024 : 1.0 / 128;
}
template <class T>
double round_to(double x) {
  return widen(narrow<T>(x));
}
inline double exactly(double x) { return x; }

template <class T>
struct Operand {
  Operand() = default;
  Operand(size_t count, uint32_t seed) : wide(emulation::normals(count, seed)), narrow_(aligned(count)) {
    for (size_t i = 0; i < count; ++i) {
      data()[i] = narrow<T>(wide[i]);
      wide[i] = widen(data()[i]);
    }
  }
  T* data() { return reinterpret_cast<T*>(narrow_.data()); }
  std::vector<float> values() {
    std::vector<float> result(wide.size());
    for (size_t i = 0; i < result.size(); ++i) result[i] = widen(data()[i]);
    return result;
  }
  void clear() {  // NaN: what the kernel has to write itself
    for (auto& words : narrow_) words.fill(0xFFFFFFFFu);
  }
  std::vector<float> wide;

 private:
  using Chunk = std::array<uint32_t, 4>;
  struct alignas(16) Aligned : Chunk {};
  static Shared<Aligned> aligned(size_t count) { return Shared<Aligned>(count * sizeof(T) / 16 + 1); }
  Shared<Aligned> narrow_;
};

/// Largest |a - b|; NaN when either has one.
template <class A, class B>
double error(const A& a, const B& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isinf(a[i]) && a[i] == b[i]) continue;
    const double d = std::abs(static_cast<double>(a[i]) - b[i]);
    worst = d <= worst ? worst : d;
  }
  return worst;
}

/// Kernel error <= 2 x error of eager arithmetic in T + one rounding of the largest value.
template <class T>
void check_close(const std::vector<float>& kernel, const std::vector<float>& exact,
                 const std::vector<float>& eager) {
  double largest = 0;
  for (const float x : exact) largest = std::max<double>(largest, std::abs(x));
  CHECK(error(kernel, exact) <= 2 * error(eager, exact) + unit<T>() / 2 * largest);
}

/// |kernel - exact| <= one rounding to T of each value, and a few fp32 roundings of the largest.
template <class T>
void check_rounded(const std::vector<float>& kernel, const std::vector<float>& exact, double roundings = 1) {
  double largest = 0;
  for (const float x : exact) largest = std::max<double>(largest, std::abs(x));
  size_t wrong = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double allowed = roundings * unit<T>() * std::abs(exact[i]) + 16 * unit<float>() * (1 + largest);
    if (!(std::abs(static_cast<double>(kernel[i]) - exact[i]) <= allowed)) ++wrong;
  }
  CHECK(kernel.size() == exact.size());
  CHECK(wrong == 0);
}

}  // namespace emulation
