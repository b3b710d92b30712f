// SPDX-License-Identifier: MIT
// A block per row and part of its columns. A thread takes four neighbouring ids at a time, those that share a
// Philox block, and skips the noise of those too far below its best score: noise is bounded (kLargestGumbel).
// One read of the logits; the noise, where there is any, is bound by instructions instead.
#include "kernels/common/pack.cuh"
#include "kernels/select/select.h"

namespace mmada::kernels {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kIds = 4;  // of a Philox block

template <class T>
__device__ __forceinline__ void read_ids(const T* row, int64_t column, int64_t columns, float (&x)[kIds]) {
  using Wide = Pack<T, kIds>;
  if (column >= 0 && column + kIds <= columns &&
      reinterpret_cast<uintptr_t>(row + column) % sizeof(Wide) == 0) {
    const Wide wide = *reinterpret_cast<const Wide*>(row + column);
#pragma unroll
    for (int c = 0; c < kIds; ++c) x[c] = to_float(wide.value[c]);
    return;
  }
#pragma unroll
  for (int c = 0; c < kIds; ++c)
    x[c] = column + c >= 0 && column + c < columns ? to_float(row[column + c]) : -INFINITY;
}

template <class T>
__device__ __forceinline__ void read_logits(const SelectStatisticsParams& p, int64_t n, int64_t column,
                                            float (&x)[kIds]) {
  read_ids(static_cast<const T*>(p.logits) + n * p.row_stride, column, p.columns, x);
  if (p.uncond != nullptr) {
    float u[kIds];
    read_ids(static_cast<const T*>(p.uncond) + n * p.row_stride, column, p.columns, u);
#pragma unroll
    for (int c = 0; c < kIds; ++c) {
      if (x[c] == -INFINITY) continue;
      x[c] = mix_guided(x[c], u[c], p.guidance, p.difference_form);
    }
  }
  if (p.banned_bits == nullptr) return;
  const auto id = static_cast<int32_t>(p.first_id + column);
  const uint32_t word = p.banned_bits[id / 32] >> id % 32;  // kIds aligned ids share a word
#pragma unroll
  for (int c = 0; c < kIds; ++c)
    if ((word >> c & 1u) != 0) x[c] = -INFINITY;
}

__device__ __forceinline__ float gumbel(uint32_t bits) { return -logf(-logf(open_unit_float(bits))); }

__device__ __forceinline__ SelectState shuffled(const SelectState& s, int lanes) {
  SelectState other;
  other.largest = __shfl_xor_sync(~0u, s.largest, lanes);
  other.second = __shfl_xor_sync(~0u, s.second, lanes);
  other.sum = __shfl_xor_sync(~0u, s.sum, lanes);
  other.weighted = __shfl_xor_sync(~0u, s.weighted, lanes);
  other.score = __shfl_xor_sync(~0u, s.score, lanes);
  other.logit = __shfl_xor_sync(~0u, s.logit, lanes);
  other.id = __shfl_xor_sync(~0u, s.id, lanes);
  return other;
}

__device__ __forceinline__ SelectState merge_warp(SelectState s) {
  for (int lanes = 16; lanes > 0; lanes /= 2) s = merge(s, shuffled(s, lanes));
  return s;
}

// ---- grid (rows, parts of the columns)
// ----------------------------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(kThreads) statistics_kernel(const SelectStatisticsParams p) {
  auto* of_warp = reinterpret_cast<SelectState*>(simt::shared_memory());  // [kWarps]
  const int64_t n = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  const int32_t first_block = p.first_id / kIds;
  const auto blocks = static_cast<int32_t>((p.first_id + p.columns + kIds - 1) / kIds) - first_block;
  const int32_t step = static_cast<int32_t>(gridDim.y) * kThreads;
  const bool noisy = p.temperature > 0.0f;
  NoiseRow noise;
  if (noisy) noise = {*p.token_key, p.positions_N[n], p.steps_N[n], p.streams_N[n]};

  SelectState state;
  for (int32_t i = static_cast<int32_t>(blockIdx.y) * kThreads + thread; i < blocks; i += step) {
    const int32_t id = (first_block + i) * kIds;
    float x[kIds];
    read_logits<T>(p, n, static_cast<int64_t>(id) - p.first_id, x);
    float reachable = -INFINITY;
#pragma unroll
    for (int c = 0; c < kIds; ++c) reachable = fmaxf(reachable, x[c]);
    uint32_t bits[kIds] = {};
    const bool draw = noisy && reachable + p.temperature * kLargestGumbel >= state.score;
    if (draw) noise_block(noise, static_cast<uint32_t>(first_block + i), bits);
#pragma unroll
    for (int c = 0; c < kIds; ++c) {
      const float score = draw ? x[c] + p.temperature * gumbel(bits[c]) : (noisy ? -INFINITY : x[c]);
      add_logit(state, x[c], score, id + c);
    }
  }
  state = merge_warp(state);
  if (thread % 32 == 0) of_warp[thread / 32] = state;
  __syncthreads();
  if (thread != 0) return;
  for (int w = 1; w < kWarps; ++w) state = merge(state, of_warp[w]);
  p.states[n * p.slots + p.first_slot + blockIdx.y] = state;
}

/// A thread per row.
__global__ void __launch_bounds__(kThreads) finish_kernel(const SelectFinishParams p) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (n >= p.rows) return;
  finish_row(p, n);
}

}  // namespace

int64_t select_slots(const SelectStatisticsParams& p) {
  constexpr int64_t kWantedBlocks = 528, kMinColumns = 4096;  // four for each multiprocessor of an H100
  const int64_t wanted = p.rows > 0 ? kWantedBlocks / p.rows : 1, most = p.columns / kMinColumns;
  const int64_t slots = wanted < most ? wanted : most;
  return slots > 1 ? slots : 1;
}

Status select_statistics_cuda(const SelectStatisticsParams& p, const Context& context) {
  const int64_t slots = select_slots(p);
  if (p.rows < 0 || p.columns < 1 || p.first_id < 0 || p.row_stride < 0 || p.first_slot < 0 ||
      p.first_slot + slots > p.slots || !(p.temperature >= 0) ||
      !noise_is_complete(p, p.temperature > 0, p.token_key))
    return Status::kInvalid;
  if (p.rows > INT32_MAX || p.first_id + p.columns > INT32_MAX - kIds) return Status::kUnsupported;
  if (p.rows == 0) return Status::kOk;
  return dispatch_float(p.type, [&]<class T>() {
    const dim3 grid(static_cast<unsigned>(p.rows), static_cast<unsigned>(slots));
    return launch(statistics_kernel<T>, grid, kThreads, kWarps * sizeof(SelectState), context, p);
  });
}

Status select_finish_cuda(const SelectFinishParams& p, const Context& context) {
  if (p.rows < 0 || p.slots < 1 ||
      !noise_is_complete(p, p.confidence == SelectConfidence::kRandom, p.random_key))
    return Status::kInvalid;
  if (p.rows == 0) return Status::kOk;
  const auto blocks = static_cast<unsigned>((p.rows + kThreads - 1) / kThreads);
  return launch(finish_kernel, blocks, kThreads, 0, context, p);
}

}  // namespace mmada::kernels
