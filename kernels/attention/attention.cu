// SPDX-License-Identifier: MIT
// Forward: a block of four warps per 64 queries of one head (and per part of the keys, when they are split),
// a warp per 16 of the queries. Tiles of 64 keys that no query of the block sees are skipped; the next tile
// is copied while this one is multiplied. Softmax is online: m and l are the running maximum and sum (Milakov
// and Gimelshein 2018), in base 2. Per tile a block moves 2 * 64 * D elements and multiplies 2 * 64 * 64 * D
// twice.
#include "kernels/attention/implementations.h"
#include "kernels/attention/plan.h"
#include "kernels/attention/tiles.cuh"

namespace mmada::kernels {

namespace attention {

namespace {

__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
  return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(~0u, x, 1);
  return x + __shfl_xor_sync(~0u, x, 2);
}

/// Turns scores into weights exp(score - m) and rescales what was summed under an older m.
template <int D>
__device__ __forceinline__ void online_softmax(float (&s)[kTile / 8][4], float scale_log2, float (&m)[2],
                                               float (&l)[2], float (&out)[D / 8][4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float largest = m[half];
#pragma unroll
    for (int j = 0; j < kTile / 8; ++j) largest = fmaxf(largest, fmaxf(s[j][2 * half], s[j][2 * half + 1]));
    largest = quad_max(largest);
    const float base = largest == -INFINITY ? 0.0f : largest * scale_log2;  // nothing seen yet: all weights 0
    const float shrink = simt::exp2_approx(m[half] * scale_log2 - base);
    m[half] = largest;
    float sum = 0.0f;
#pragma unroll
    for (int j = 0; j < kTile / 8; ++j)
#pragma unroll
      for (int c = 2 * half; c < 2 * half + 2; ++c) {
        s[j][c] = simt::exp2_approx(s[j][c] * scale_log2 - base);
        sum += s[j][c];
      }
    l[half] = l[half] * shrink + sum;
#pragma unroll
    for (int j = 0; j < D / 8; ++j) {
      out[j][2 * half] *= shrink;
      out[j][2 * half + 1] *= shrink;
    }
  }
}

/// The keys of one block's part, in tiles.
struct Part {
  int begin, end;
};
__device__ __forceinline__ Part part_of(const Row& row, int split, int splits) {
  const int tiles = (row.keys + kTile - 1) / kTile, per_part = (tiles + splits - 1) / splits;
  const int begin = min(split * per_part, tiles);
  return {begin, min(begin + per_part, tiles)};
}

template <class T, int D>
__global__ void __launch_bounds__(kThreads, kBlocks)
    forward_kernel(const AttentionParams p, const Partial partial) {
  // ---- which queries, which keys
  const int split = static_cast<int>(blockIdx.x) % partial.splits;
  const int query = static_cast<int>(blockIdx.x) / partial.splits * kTile;
  const int head = static_cast<int>(blockIdx.y), key_head = head / heads_per_key_head(p);
  const Row row = row_of(p, blockIdx.z);
  if (query >= row.queries) return;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int query_end = min(query + kTile, row.queries);
  const Part part = part_of(row, split, partial.splits);

  T* tile_q = reinterpret_cast<T*>(simt::shared_memory());  // then two stages of a tile of k and one of v
  T* stages = tile_q + kTile * D;
  const T* q = static_cast<const T*>(p.q) + place(p, p.q_strides, row, row.first_query, query, head);
  const T* k = static_cast<const T*>(p.k) + place(p, p.k_strides, row, row.first_key, 0, key_head);
  const T* v = static_cast<const T*>(p.v) + place(p, p.v_strides, row, row.first_key, 0, key_head);
  const auto needed = [&](int tile) {
    return overlap(p, row, query, query_end, tile * kTile, min((tile + 1) * kTile, row.keys)) !=
           Overlap::kNone;
  };
  const auto load_keys = [&](int tile, int stage) {
    const int64_t first = static_cast<int64_t>(tile) * kTile;
    T* to = stages + stage * 2 * kTile * D;
    load_tile<T, D>(to, k + first * p.k_strides.token, p.k_strides.token, row.keys - tile * kTile);
    load_tile<T, D>(to + kTile * D, v + first * p.v_strides.token, p.v_strides.token,
                    row.keys - tile * kTile);
    simt::cp_async_commit();
  };

  // ---- tiles of keys, double-buffered
  float out[D / 8][4] = {}, m[2] = {-INFINITY, -INFINITY}, l[2] = {0.0f, 0.0f};
  const float scale_log2 = p.scale * kLog2e;
  int tile = next_tile(part.begin, part.end, needed);
  if (tile < part.end) {
    load_tile<T, D>(tile_q, q, p.q_strides.token, row.queries - query);
    load_keys(tile, 0);
  }
  for (int stage = 0; tile < part.end; stage ^= 1) {
    const int next = next_tile(tile + 1, part.end, needed);
    if (next < part.end) {
      load_keys(next, stage ^ 1);
      simt::cp_async_wait<1>();
    } else {
      simt::cp_async_wait<0>();
    }
    __syncthreads();  // this tile has landed for everyone
    const T *tile_k = stages + stage * 2 * kTile * D, *tile_v = tile_k + kTile * D;
    float s[kTile / 8][4] = {};
#pragma unroll kStepsAtOnce
    for (int step = 0; step < D / 16; ++step) {
      uint32_t a[4];  // from shared memory each time: all of q would take D / 4 registers
      load_rows<T, D>(a, tile_q, warp * kWarpRows, step);
      multiply_rows<T, D>(s, a, tile_k, step);
    }
    const int key = tile * kTile;
    if (p.bias_spans_B2 != nullptr || key + kTile > row.keys ||
        overlap(p, row, query, query_end, key, key + kTile) != Overlap::kFull)
      mask_scores(p, row, query + warp * kWarpRows, key, s);
    online_softmax<D>(s, scale_log2, m, l, out);
    multiply_weights<T, D>(out, s, tile_v);
    __syncthreads();  // the stage may be overwritten
    tile = next;
  }

  // ---- results
  float inverse[2], lse[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float sum = quad_sum(l[half]);
    inverse[half] = sum > 0.0f ? 1.0f / sum : 0.0f;
    lse[half] = sum > 0.0f ? m[half] * p.scale + logf(sum) : -INFINITY;
  }
  float* statistics = partial.splits > 1 ? partial.logsumexp : p.logsumexp;
  const int64_t first_statistic = (static_cast<int64_t>(split) * p.heads + head) * p.total_queries +
                                  row.first_statistic + query + warp * kWarpRows;
  if (statistics != nullptr && lane % 4 == 0)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int i = lane / 4 + 8 * half;
      if (query + warp * kWarpRows + i < row.queries) statistics[first_statistic + i] = lse[half];
    }
  if (partial.splits == 1) {
    T* to = static_cast<T*>(p.out) + place(p, p.out_strides, row, row.first_query, query, head);
    store_rows<T, D>(out, inverse, tile_q, to, p.out_strides.token, row.queries - query);
    return;
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = lane / 4 + 8 * half;
    if (query + warp * kWarpRows + i >= row.queries) continue;
    float* to = partial.out + (first_statistic + i) * D + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < D / 8; ++j)
      *reinterpret_cast<float2*>(to + j * 8) =
          make_float2(out[j][2 * half] * inverse[half], out[j][2 * half + 1] * inverse[half]);
  }
}

/// Joins the parts of split keys: a warp per query and head.
template <class T, int D>
__global__ void __launch_bounds__(kThreads) combine_kernel(const AttentionParams p, const Partial partial) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int query = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int64_t head = blockIdx.y;
  const Row row = row_of(p, blockIdx.z);
  if (query >= row.queries) return;
  const int64_t at = head * p.total_queries + row.first_statistic + query, step = p.heads * p.total_queries;
  float largest = -INFINITY;
  for (int i = 0; i < partial.splits; ++i) largest = fmaxf(largest, partial.logsumexp[at + i * step]);
  const float base = largest == -INFINITY ? 0.0f : largest;
  constexpr int kWide = D / 32;
  float sum = 0.0f, out[kWide] = {};
  for (int i = 0; i < partial.splits; ++i) {
    const float weight = simt::exp2_approx((partial.logsumexp[at + i * step] - base) * kLog2e);
    sum += weight;
    const float* from = partial.out + (at + i * step) * D + lane * kWide;
#pragma unroll
    for (int c = 0; c < kWide; ++c) out[c] += weight * from[c];
  }
  const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
  T* to = static_cast<T*>(p.out) + place(p, p.out_strides, row, row.first_query, query, head) + lane * kWide;
#pragma unroll
  for (int c = 0; c < kWide; ++c) from_float(out[c] * inverse, to[c]);
  if (p.logsumexp != nullptr && lane == 0) p.logsumexp[at] = sum > 0.0f ? base + logf(sum) : -INFINITY;
}

template <class T, int D>
Status launch_forward(const AttentionParams& p, const Context& context) {
  const Partial partial = partial_of(p, context);
  const auto count = [](int64_t n) { return static_cast<unsigned>(n); };
  const dim3 grid(count((p.queries + kTile - 1) / kTile * partial.splits), count(p.heads), count(p.batch));
  constexpr size_t kShared = size_t{5} * kTile * D * sizeof(T);
  const Status status = launch(forward_kernel<T, D>, grid, kThreads, kShared, context, p, partial);
  if (status != Status::kOk || partial.splits == 1) return status;
  const dim3 combine_grid(count((p.queries + kWarps - 1) / kWarps), count(p.heads), count(p.batch));
  return launch(combine_kernel<T, D>, combine_grid, kThreads, 0, context, p, partial);
}

bool takes_mma_sync(const AttentionParams& p) {
  return p.type != FloatType::kF32 && (p.head_dim == 64 || p.head_dim == 128);
}
Status launch_mma_sync(const AttentionParams& p, const Context& context) {
  return dispatch(p, [&]<class T, int D>() { return launch_forward<T, D>(p, context); });
}

constexpr Implementation kImplementations[] = {
    {"mma.sync", 80, takes_mma_sync, launch_mma_sync},
};

}  // namespace

std::span<const Implementation> implementations() { return kImplementations; }

}  // namespace attention

Status attention_cuda(const AttentionParams& params, const Context& context) {
  const Status status = attention::check(params, context.workspace_bytes, attention_workspace_size(params));
  if (status != Status::kOk) return status;
  const auto* chosen =
      attention::first_that_fits(attention::implementations(), context.compute_capability, params);
  if (chosen == nullptr) return Status::kUnsupported;
  return params.batch == 0 || params.queries == 0 ? Status::kOk : chosen->launch(params, context);
}

}  // namespace mmada::kernels
