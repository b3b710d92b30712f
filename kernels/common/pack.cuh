// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/common/cuda_types.cuh"

namespace mmada::kernels {

/// kWide neighbouring elements, moved as one access.
template <class T, int kWide>
struct alignas(sizeof(T) * kWide) Pack {
  T value[kWide];
};

/// Elements of T in the widest access, 16 bytes.
template <class T>
constexpr int kWidest = 16 / sizeof(T);

/// Whether all addresses are multiples of 16 bytes.
template <class... P>
bool aligned16(const P*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) | ...) % 16) == 0;
}

}  // namespace mmada::kernels
