// SPDX-License-Identifier: MIT
// The C++ half of simt.cuh: CUDA's keywords, built-ins and this project's wrappers on the emulator. Copies
// and matrix loads touch memory here, in the kernel's own translation unit, so that its sanitizer sees them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/simt/emulator.h"

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// no __shared__: static shared memory would carry one block's values into the next (simt.cuh)

#define threadIdx (::mmada::simt::current->index)
#define blockIdx (::mmada::simt::block.index)
#define blockDim (::mmada::simt::block.size)
#define gridDim (::mmada::simt::block.grid)

namespace mmada::simt {

template <class T>
T shuffle(uint32_t mask, T value, int source, int line) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  Payload payload = {};
  std::memcpy(payload.data(), &value, sizeof value);
  Meeting& meeting = meet(mask, Operation::kShuffle, payload, line);
  if ((mask >> source & 1) == 0) fail("a shuffle reads a lane that its mask leaves out", line);
  T result;
  std::memcpy(&result, meeting.in[source].data(), sizeof result);
  leave(meeting);
  return result;
}

inline uint32_t vote(uint32_t mask, bool predicate, int line) {
  Payload payload = {};
  payload[0] = predicate ? 1 : 0;
  Meeting& meeting = meet(mask, Operation::kVote, payload, line);
  uint32_t ballot = 0;
  for (int lane = 0; lane < 32; ++lane)
    if ((mask >> lane & 1) != 0 && meeting.in[lane][0] != 0) ballot |= 1u << lane;
  leave(meeting);
  return ballot;
}

inline unsigned char* shared_memory() { return block.shared; }

template <class T>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  int line = __builtin_LINE()) {
  Payload payload = {};
  for (int i = 0; i < 4; ++i) payload[i] = a[i];
  for (int i = 0; i < 2; ++i) payload[4 + i] = b[i];
  for (int i = 0; i < 4; ++i) payload[6 + i] = std::bit_cast<uint32_t>(d[i]);
  constexpr bool kBF16 = std::is_same_v<T, __nv_bfloat16>;
  Meeting& meeting = meet(~0u, Operation::kMma, payload, line, kBF16 ? mma_bf16 : mma_f16);
  for (int i = 0; i < 4; ++i) d[i] = std::bit_cast<float>(meeting.out[current->lane][i]);
  leave(meeting);
}

template <bool kTranspose = false>
void ldmatrix_x4(uint32_t (&r)[4], const void* row, int line = __builtin_LINE()) {
  const auto address = reinterpret_cast<uintptr_t>(row);
  if (address % 16 != 0) fail("an ldmatrix row that is not aligned to 16 bytes", line);
  Payload payload = {};
  payload[0] = static_cast<uint32_t>(address);
  payload[1] = static_cast<uint32_t>(address >> 32);
  Meeting& meeting = meet(~0u, kTranspose ? Operation::kLdmatrixTransposed : Operation::kLdmatrix, payload,
                          line, count_ldmatrix);
  const int g = current->lane / 4, t = current->lane % 4;
  for (int matrix = 0; matrix < 4; ++matrix) {
    const auto element = [&](int i, int j) {
      const Payload& words = meeting.in[matrix * 8 + i];
      const auto* p = reinterpret_cast<const uint16_t*>(words[0] | static_cast<uintptr_t>(words[1]) << 32);
      return static_cast<uint32_t>(p[j]);
    };
    r[matrix] = kTranspose ? element(2 * t, g) | element(2 * t + 1, g) << 16
                           : element(g, 2 * t) | element(g, 2 * t + 1) << 16;
  }
  leave(meeting);
}

inline void land(PendingCopy copy) {
  if (copy.from == nullptr)
    std::memset(copy.to, 0, 16);
  else
    std::memcpy(copy.to, copy.from, 16);
}

inline void cp_async16(void* to, const void* from, bool valid = true, int line = __builtin_LINE()) {
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % 16 != 0)
    fail("a cp.async that is not aligned to 16 bytes", line);
  const PendingCopy copy = {to, valid ? from : nullptr};
  if (!options().late_copies) land(copy);
  queue_copy(copy, line);
}
inline void cp_async_commit() { commit_copies(); }
template <int kGroups>
void cp_async_wait() {
  const size_t due = due_copies(kGroups);
  if (options().late_copies)
    for (size_t i = 0; i < due; ++i) land(current->copies[i]);
  drop_copies(due, kGroups);
}

inline float exp2_approx(float x) {
  const float y = std::exp2(x);
  return std::fpclassify(y) == FP_SUBNORMAL ? 0.0f : y;
}

template <class... P, class... A>
[[nodiscard]] bool launch(void (*kernel)(P...), dim3 grid, dim3 threads, size_t shared_bytes,
                          const void* /*stream*/, const A&... arguments) {
  run_grid(grid, threads, shared_bytes, [&] { kernel(arguments...); });
  return true;
}

}  // namespace mmada::simt

// ---- CUDA's built-in functions
// --------------------------------------------------------------------------------------

inline void __syncthreads(int line = __builtin_LINE()) { mmada::simt::barrier(line); }
inline void __syncwarp(uint32_t mask = ~0u, int line = __builtin_LINE()) {
  mmada::simt::leave(mmada::simt::meet(mask, mmada::simt::Operation::kSyncWarp, {}, line));
}
template <class T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32, int line = __builtin_LINE()) {
  const int lane = mmada::simt::current->lane;
  return mmada::simt::shuffle(mask, value, (lane & ~(width - 1)) | (source & (width - 1)), line);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int bits, int width = 32, int line = __builtin_LINE()) {
  const int lane = mmada::simt::current->lane, source = lane ^ bits;
  const bool outside = (source & ~(width - 1)) > (lane & ~(width - 1));
  return mmada::simt::shuffle(mask, value, outside ? lane : source, line);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, int delta, int width = 32, int line = __builtin_LINE()) {
  const int lane = mmada::simt::current->lane;
  return mmada::simt::shuffle(mask, value, (lane & (width - 1)) + delta < width ? lane + delta : lane, line);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, int delta, int width = 32, int line = __builtin_LINE()) {
  const int lane = mmada::simt::current->lane;
  return mmada::simt::shuffle(mask, value, (lane & (width - 1)) >= delta ? lane - delta : lane, line);
}
inline unsigned __ballot_sync(uint32_t mask, int predicate, int line = __builtin_LINE()) {
  return mmada::simt::vote(mask, predicate != 0, line);
}
inline int __any_sync(uint32_t mask, int predicate, int line = __builtin_LINE()) {
  return mmada::simt::vote(mask, predicate != 0, line) != 0 ? 1 : 0;
}
inline int __all_sync(uint32_t mask, int predicate, int line = __builtin_LINE()) {
  return mmada::simt::vote(mask, predicate != 0, line) == mask ? 1 : 0;
}
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
template <class T>
T __ldg(const T* p) {
  return *p;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

/// Device code's min and max, which need no namespace.
template <class T>
T min(T a, std::type_identity_t<T> b) {
  return b < a ? b : a;
}
template <class T>
T max(T a, std::type_identity_t<T> b) {
  return a < b ? b : a;
}

/// Atomics are atomic for ThreadSanitizer too, and order nothing else.
template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  T sum = old + value;
  while (!__atomic_compare_exchange(address, &old, &sum, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    sum = old + value;
  return old;
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  while (old < value &&
         !__atomic_compare_exchange(address, &old, &value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
