// SPDX-License-Identifier: MIT
// Backward in three launches, all without atomics (reruns give the same bits):
//   delta      dout . out of every query (Dao 2023, "D"): one read of both
//   dk and dv  a block per 64 keys, which walks over the queries that see them; scores are computed
//   transposed,
//              keys down, so that their registers are the A fragments of dv += p^T dout and dk += ds^T q
//   dq         a block per 64 queries, which walks over the keys they see: dq += ds k
// with p = exp(score - logsumexp) and ds = p (dout v^T - delta). Scores are computed twice; the alternative,
// one pass with atomic adds into dq, multiplies 5 instead of 7 products of tiles but depends on the order of
// blocks.
#include "kernels/attention/plan.h"
#include "kernels/attention/tiles.cuh"

namespace mmada::kernels {

namespace attention {

namespace {

template <class T, int D>
__global__ void __launch_bounds__(kThreads, kBlocks)
    delta_kernel(const AttentionParams p, const void* dout, float* delta) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int query = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int64_t head = blockIdx.y;
  const Row row = row_of(p, blockIdx.z);
  if (query >= row.queries) return;
  constexpr int kWide = D / 32;
  const int64_t at = place(p, p.out_strides, row, row.first_query, query, head) + lane * kWide;
  const T *a = static_cast<const T*>(p.out) + at, *b = static_cast<const T*>(dout) + at;
  float sum = 0.0f;
#pragma unroll
  for (int c = 0; c < kWide; ++c) sum += to_float(a[c]) * to_float(b[c]);
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(~0u, sum, bits);
  if (lane == 0) delta[head * p.total_queries + row.first_statistic + query] = sum;
}

/// What the probability and the score's gradient of a query need besides the scores.
struct Statistic {
  float lse_log2, delta;
};

/// Of a query below row.queries; where it sees nothing, and beyond the row, +inf makes every probability 0.
__device__ __forceinline__ Statistic statistic_of(const AttentionParams& p, const Row& row,
                                                  const float* delta, int64_t head, int query) {
  if (query >= row.queries) return {INFINITY, 0.0f};
  const int64_t at = head * p.total_queries + row.first_statistic + query;
  const float lse = p.logsumexp[at];
  return {lse == -INFINITY ? INFINITY : lse * kLog2e, delta[at]};
}

/// exp(score - logsumexp) for one score before the scale.
__device__ __forceinline__ float probability(float score, float scale_log2, float lse_log2) {
  return simt::exp2_approx(score * scale_log2 - lse_log2);
}

// ---- dq: a block per 64 queries of a head
// ------------------------------------------------------------------------------------

template <class T, int D>
__global__ void __launch_bounds__(kThreads, kBlocks)
    query_gradient_kernel(const AttentionParams p, const AttentionGradients g, const float* delta) {
  constexpr int kRows = kWalkTile<D>;
  const int query = static_cast<int>(blockIdx.x) * kTile;
  const int head = static_cast<int>(blockIdx.y), key_head = head / heads_per_key_head(p);
  const Row row = row_of(p, blockIdx.z);
  if (query >= row.queries) return;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int query_end = min(query + kTile, row.queries), tiles = (row.keys + kRows - 1) / kRows;
  const float scale_log2 = p.scale * kLog2e;

  T* tile_q = reinterpret_cast<T*>(simt::shared_memory());
  T* tile_dout = tile_q + kTile * D;
  T* stages = tile_dout + kTile * D;  // two of a tile of k and one of v
  const int64_t at_q = place(p, p.q_strides, row, row.first_query, query, head);
  const T* dout = static_cast<const T*>(g.dout) + place(p, p.out_strides, row, row.first_query, query, head);
  const T* k = static_cast<const T*>(p.k) + place(p, p.k_strides, row, row.first_key, 0, key_head);
  const T* v = static_cast<const T*>(p.v) + place(p, p.v_strides, row, row.first_key, 0, key_head);
  const auto needed = [&](int tile) {
    return overlap(p, row, query, query_end, tile * kRows, min((tile + 1) * kRows, row.keys)) !=
           Overlap::kNone;
  };
  const auto load_keys = [&](int tile, int stage) {
    const int64_t first = static_cast<int64_t>(tile) * kRows;
    T* to = stages + stage * 2 * kRows * D;
    load_tile<T, D, kRows>(to, k + first * p.k_strides.token, p.k_strides.token, row.keys - tile * kRows);
    load_tile<T, D, kRows>(to + kRows * D, v + first * p.v_strides.token, p.v_strides.token,
                           row.keys - tile * kRows);
    simt::cp_async_commit();
  };

  int tile = next_tile(0, tiles, needed);
  if (tile < tiles) {
    load_tile<T, D>(tile_q, static_cast<const T*>(p.q) + at_q, p.q_strides.token, row.queries - query);
    load_tile<T, D>(tile_dout, dout, p.out_strides.token, row.queries - query);
    load_keys(tile, 0);
  }
  Statistic statistic[2];
#pragma unroll
  for (int half = 0; half < 2; ++half)
    statistic[half] = statistic_of(p, row, delta, head, query + warp * kWarpRows + lane / 4 + 8 * half);
  float dq[D / 8][4] = {};
  for (int stage = 0; tile < tiles; stage ^= 1) {
    const int next = next_tile(tile + 1, tiles, needed);
    if (next < tiles) {
      load_keys(next, stage ^ 1);
      simt::cp_async_wait<1>();
    } else {
      simt::cp_async_wait<0>();
    }
    __syncthreads();  // this tile has landed for everyone
    const T *tile_k = stages + stage * 2 * kRows * D, *tile_v = tile_k + kRows * D;
    float s[kRows / 8][4] = {}, dp[kRows / 8][4] = {};
#pragma unroll kStepsAtOnce
    for (int step = 0; step < D / 16; ++step) {
      uint32_t a[4];
      load_rows<T, D>(a, tile_q, warp * kWarpRows, step);
      multiply_rows<T, D>(s, a, tile_k, step);
      load_rows<T, D>(a, tile_dout, warp * kWarpRows, step);
      multiply_rows<T, D>(dp, a, tile_v, step);
    }
    const int key = tile * kRows;
    if (p.bias_spans_B2 != nullptr || key + kRows > row.keys ||
        overlap(p, row, query, query_end, key, key + kRows) != Overlap::kFull)
      mask_scores(p, row, query + warp * kWarpRows, key, s);
#pragma unroll
    for (int j = 0; j < kRows / 8; ++j)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        s[j][c] =
            probability(s[j][c], scale_log2, statistic[c / 2].lse_log2) * (dp[j][c] - statistic[c / 2].delta);
    multiply_weights<T, D>(dq, s, tile_k);
    __syncthreads();  // the stage may be overwritten
    tile = next;
  }
  const float factor[2] = {p.scale, p.scale};
  store_rows<T, D>(dq, factor, tile_q, static_cast<T*>(g.dq) + at_q, p.q_strides.token, row.queries - query);
}

// ---- dk and dv: a block per 64 keys of a key head
// ----------------------------------------------------------------------------

template <class T, int D>
__global__ void __launch_bounds__(kThreads, kBlocks)
    key_gradient_kernel(const AttentionParams p, const AttentionGradients g, const float* delta) {
  constexpr int kRows = kWalkTile<D>;
  const int key = static_cast<int>(blockIdx.x) * kTile;
  const int key_head = static_cast<int>(blockIdx.y), group = heads_per_key_head(p);
  const Row row = row_of(p, blockIdx.z);
  if (key >= row.keys) return;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int key_end = min(key + kTile, row.keys), tiles = (row.queries + kRows - 1) / kRows;
  const float scale_log2 = p.scale * kLog2e;

  T* tile_k = reinterpret_cast<T*>(simt::shared_memory());
  T* tile_v = tile_k + kTile * D;
  T* stages = tile_v + kTile * D;  // two of a tile of q and one of dout
  auto* statistics = reinterpret_cast<Statistic*>(stages + 4 * kRows * D);  // two of kRows
  const int64_t at_k = place(p, p.k_strides, row, row.first_key, key, key_head);
  const int64_t at_v = place(p, p.v_strides, row, row.first_key, key, key_head);
  // a "tile" counts through the tiles of queries of all heads of the group
  const auto needed = [&](int tile) {
    const int query = tile % tiles * kRows;
    return overlap(p, row, query, min(query + kRows, row.queries), key, key_end) != Overlap::kNone;
  };
  const auto load_queries = [&](int tile, int stage) {
    const int query = tile % tiles * kRows;
    const int head = key_head * group + tile / tiles;
    const T* q = static_cast<const T*>(p.q) + place(p, p.q_strides, row, row.first_query, query, head);
    const T* dout =
        static_cast<const T*>(g.dout) + place(p, p.out_strides, row, row.first_query, query, head);
    T* to = stages + stage * 2 * kRows * D;
    load_tile<T, D, kRows>(to, q, p.q_strides.token, row.queries - query);
    load_tile<T, D, kRows>(to + kRows * D, dout, p.out_strides.token, row.queries - query);
    if (thread < kRows)
      statistics[stage * kRows + thread] = statistic_of(p, row, delta, head, query + thread);
    simt::cp_async_commit();
  };

  const int all_tiles = tiles * group;
  int tile = next_tile(0, all_tiles, needed);
  if (tile < all_tiles) {
    load_tile<T, D>(tile_k, static_cast<const T*>(p.k) + at_k, p.k_strides.token, row.keys - key);
    load_tile<T, D>(tile_v, static_cast<const T*>(p.v) + at_v, p.v_strides.token, row.keys - key);
    load_queries(tile, 0);
  }
  float dk[D / 8][4] = {}, dv[D / 8][4] = {};
  for (int stage = 0; tile < all_tiles; stage ^= 1) {
    const int next = next_tile(tile + 1, all_tiles, needed);
    if (next < all_tiles) {
      load_queries(next, stage ^ 1);
      simt::cp_async_wait<1>();
    } else {
      simt::cp_async_wait<0>();
    }
    __syncthreads();  // this tile has landed for everyone
    const int query = tile % tiles * kRows;
    const T *tile_q = stages + stage * 2 * kRows * D, *tile_dout = tile_q + kRows * D;
    const Statistic* of_query = statistics + stage * kRows;

    float s[kRows / 8][4] = {};
#pragma unroll kStepsAtOnce
    for (int step = 0; step < D / 16; ++step) {
      uint32_t a[4];
      load_rows<T, D>(a, tile_k, warp * kWarpRows, step);
      multiply_rows<T, D>(s, a, tile_q, step);
    }
    if (p.bias_spans_B2 != nullptr || key + kTile > row.keys || query + kRows > row.queries ||
        overlap(p, row, query, query + kRows, key, key + kTile) != Overlap::kFull)
      mask_transposed(p, row, query, key + warp * kWarpRows, s);
#pragma unroll
    for (int j = 0; j < kRows / 8; ++j)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        s[j][c] = probability(s[j][c], scale_log2, of_query[j * 8 + lane % 4 * 2 + c % 2].lse_log2);
    multiply_weights<T, D>(dv, s, tile_dout);

    float dp[kRows / 8][4] = {};
#pragma unroll kStepsAtOnce
    for (int step = 0; step < D / 16; ++step) {
      uint32_t a[4];
      load_rows<T, D>(a, tile_v, warp * kWarpRows, step);
      multiply_rows<T, D>(dp, a, tile_dout, step);
    }
#pragma unroll
    for (int j = 0; j < kRows / 8; ++j)
#pragma unroll
      for (int c = 0; c < 4; ++c) s[j][c] *= dp[j][c] - of_query[j * 8 + lane % 4 * 2 + c % 2].delta;
    multiply_weights<T, D>(dk, s, tile_q);
    __syncthreads();  // the stage may be overwritten
    tile = next;
  }
  const float factor_k[2] = {p.scale, p.scale}, factor_v[2] = {1.0f, 1.0f};
  store_rows<T, D>(dk, factor_k, tile_k, static_cast<T*>(g.dk) + at_k, p.k_strides.token, row.keys - key);
  store_rows<T, D>(dv, factor_v, tile_v, static_cast<T*>(g.dv) + at_v, p.v_strides.token, row.keys - key);
}

template <class T, int D>
Status launch_backward(const AttentionParams& p, const AttentionGradients& g, const Context& context) {
  auto* delta = static_cast<float*>(context.workspace);
  const auto count = [](int64_t n) { return static_cast<unsigned>(n); };
  const auto tiles = [&](int64_t n) { return count((n + kTile - 1) / kTile); };
  constexpr size_t kRowBytes = D * sizeof(T);
  if (p.queries > 0) {
    const dim3 delta_grid(count((p.queries + kWarps - 1) / kWarps), count(p.heads), count(p.batch));
    Status status = launch(delta_kernel<T, D>, delta_grid, kThreads, 0, context, p, g.dout, delta);
    if (status != Status::kOk) return status;
    const dim3 query_grid(tiles(p.queries), count(p.heads), count(p.batch));
    status = launch(query_gradient_kernel<T, D>, query_grid, kThreads,
                    (2 * kTile + 4 * kWalkTile<D>)*kRowBytes, context, p, g, delta);
    if (status != Status::kOk) return status;
  }
  if (p.keys == 0) return Status::kOk;
  const dim3 key_grid(tiles(p.keys), count(p.key_heads), count(p.batch));
  constexpr size_t kShared = 2 * kTile * kRowBytes + 2 * kWalkTile<D> * (2 * kRowBytes + sizeof(Statistic));
  return launch(key_gradient_kernel<T, D>, key_grid, kThreads, kShared, context, p, g, delta);
}

}  // namespace

}  // namespace attention

Status attention_backward_cuda(const AttentionParams& params, const AttentionGradients& gradients,
                               const Context& context) {
  const Status status =
      attention::check(params, context.workspace_bytes, attention_backward_workspace_size(params));
  if (status != Status::kOk) return status;
  constexpr int kOldest = 80;  // mma.sync on bf16
  if (context.compute_capability < kOldest) return Status::kUnsupported;
  if (params.batch == 0) return Status::kOk;
  for (const void* pointer : {gradients.dout, static_cast<const void*>(gradients.dq),
                              static_cast<const void*>(gradients.dk), static_cast<const void*>(gradients.dv)})
    if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) return Status::kUnsupported;
  return attention::dispatch(
      params, [&]<class T, int D>() { return attention::launch_backward<T, D>(params, gradients, context); });
}

}  // namespace mmada::kernels
