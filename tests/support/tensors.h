// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <fstream>
#include <string>

#include "mmada/core/rng.h"

namespace mmada {

/// Standard normal fp32 values that depend on shape and seed alone.
inline at::Tensor random_tensor(at::IntArrayRef shape, uint64_t seed) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  Rng rng(seed, "test");
  for (int64_t i = 0; i < tensor.numel(); ++i)
    tensor.mutable_data_ptr<float>()[i] = static_cast<float>(rng.normal());
  return tensor;
}

/// Largest absolute difference, in fp64; NaN where a value is.
inline double max_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

/// A line of /proc/self/status such as VmHWM, in bytes.
inline int64_t process_memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1)) * 1024;
  return -1;
}

/// Sets the peak resident memory of this process back to what is resident now, and returns that.
inline int64_t reset_peak_memory() {
  std::ofstream("/proc/self/clear_refs") << "5";
  return process_memory("VmRSS");
}
inline int64_t peak_memory() { return process_memory("VmHWM"); }

}  // namespace mmada
