// SPDX-License-Identifier: MIT
// Tiles of 16-bit rows in shared memory and the two products of tiles that attention consists of.
#pragma once

#include <cstring>

#include "kernels/attention/visibility.h"
#include "kernels/common/cuda_types.cuh"

namespace mmada::kernels::attention {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kBlocks = 2;  ///< per multiprocessor: 255 registers and up to 113 KiB of shared memory each
constexpr int kTile = 64;   ///< rows of a tile: 16 per warp
constexpr int kWarpRows = kTile / kWarps;
constexpr int kStepsAtOnce = 2;  ///< of a product's inner dimension; more would keep addresses in registers
constexpr int kChunk = 8;        ///< 16-bit elements that move together: 16 bytes
constexpr float kLog2e = 1.44269504f;
constexpr float kLn2 = 0.69314718f;

/// Element offset of a chunk in a tile of D-wide rows. Chunks of eight neighbouring rows change places so
/// that any eight of one column lie in different banks: ldmatrix, straight or transposed, has no conflicts.
template <int D>
__device__ __forceinline__ int swizzled(int row, int chunk) {
  return row * D + (chunk ^ (row % 8)) * kChunk;
}

/// Starts copying rows [0, rows) of a head into a tile; the tile's other rows become zero.
template <class T, int D, int kRows = kTile>
__device__ __forceinline__ void load_tile(T* tile, const T* from, int64_t token_stride, int rows) {
  constexpr int kRowChunks = D / kChunk, kStep = kThreads / kRowChunks;
  static_assert(kStep % 8 == 0, "all rows of a thread have the same swizzle");
  const int first = static_cast<int>(threadIdx.x) / kRowChunks,
            chunk = static_cast<int>(threadIdx.x) % kRowChunks;
  const T* source = from + first * token_stride + chunk * kChunk;
  T* to = tile + swizzled<D>(first, chunk);
  // not unrolled: the addresses of a whole tile would be kept in registers
#pragma unroll 1
  for (int row = first; row < kRows; row += kStep) {
    const bool valid = row < rows;
    simt::cp_async16(to, valid ? source : from, valid);
    source += kStep * token_stride;
    to += kStep * D;
  }
}

/// The A fragment of 16 rows of a tile, columns [16 step, 16 step + 16).
template <class T, int D>
__device__ __forceinline__ void load_rows(uint32_t (&a)[4], const T* tile, int first_row, int step) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  simt::ldmatrix_x4(a, tile + swizzled<D>(first_row + lane % 16, step * 2 + lane / 16));
}

/// sum[j] += A B^T for the 8 rows of B from 8 j on: A is one step's fragment, B a tile of 8 kParts rows.
template <class T, int D, int kParts>
__device__ __forceinline__ void multiply_rows(float (&sum)[kParts][4], const uint32_t (&a)[4], const T* tile,
                                              int step) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int j = 0; j < kParts / 2; ++j) {
    uint32_t b[4];
    simt::ldmatrix_x4(b, tile + swizzled<D>(j * 16 + lane % 8 + lane / 16 * 8, step * 2 + lane / 8 % 2));
    const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
    simt::mma_m16n8k16<T>(sum[2 * j], a, low);
    simt::mma_m16n8k16<T>(sum[2 * j + 1], a, high);
  }
}

__device__ __forceinline__ uint32_t pack(__nv_bfloat16 /*type*/, float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t word;
  memcpy(&word, &pair, sizeof word);
  return word;
}
__device__ __forceinline__ uint32_t pack(__half /*type*/, float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  uint32_t word;
  memcpy(&word, &pair, sizeof word);
  return word;
}

/// sum[j] += W B for columns [8 j, 8 j + 8) of the tile B: W are weights [16, 8 kParts] as multiply_rows
/// leaves them, which are the very registers of the A fragments once rounded to T.
template <class T, int D, int kParts>
__device__ __forceinline__ void multiply_weights(float (&sum)[D / 8][4], const float (&w)[kParts][4],
                                                 const T* tile) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int step = 0; step < kParts / 2; ++step) {
    const float(&left)[4] = w[2 * step], (&right)[4] = w[2 * step + 1];
    const uint32_t a[4] = {pack(T(), left[0], left[1]), pack(T(), left[2], left[3]),
                           pack(T(), right[0], right[1]), pack(T(), right[2], right[3])};
#pragma unroll
    for (int j = 0; j < D / 16; ++j) {
      uint32_t b[4];
      simt::ldmatrix_x4<true>(b, tile + swizzled<D>(step * 16 + lane % 16, j * 2 + lane / 16));
      const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
      simt::mma_m16n8k16<T>(sum[2 * j], a, low);
      simt::mma_m16n8k16<T>(sum[2 * j + 1], a, high);
    }
  }
}

/// Rounds a warp's 16 rows, scaled, to T and writes those below `rows` through the warp's own part of a tile,
/// so that they leave as whole 16-byte chunks.
template <class T, int D>
__device__ __forceinline__ void store_rows(const float (&sum)[D / 8][4], const float (&factor)[2], T* tile,
                                           T* to, int64_t token_stride, int rows) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int first = warp * kWarpRows;
  __syncwarp();  // the other lanes may still be reading these rows
#pragma unroll
  for (int j = 0; j < D / 8; ++j)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint32_t word = pack(T(), sum[j][2 * half] * factor[half], sum[j][2 * half + 1] * factor[half]);
      memcpy(static_cast<void*>(tile + swizzled<D>(first + lane / 4 + 8 * half, j) + lane % 4 * 2), &word,
             sizeof word);
    }
  __syncwarp();
  constexpr int kRowChunks = D / kChunk;
#pragma unroll
  for (int i = 0; i < kWarpRows * kRowChunks / 32; ++i) {
    const int at = i * 32 + lane, row = first + at / kRowChunks, chunk = at % kRowChunks;
    if (row >= rows) continue;
    *reinterpret_cast<uint4*>(to + row * token_stride + chunk * kChunk) =
        *reinterpret_cast<const uint4*>(tile + swizzled<D>(row, chunk));
  }
}

/// The score before the scale, -inf where the key is hidden, more by 1 (after the scale) where the bias
/// applies.
__device__ __forceinline__ float masked(const AttentionParams& p, const Spans& spans, const Bias& bias,
                                        int key, float score) {
  return sees(spans, key) ? score + (has_bias(bias, key) ? 1.0f / p.scale : 0.0f) : -INFINITY;
}

/// masked() for a warp's 16 queries from `query` on against 8 kParts keys from `key` on.
template <int kParts>
__device__ __forceinline__ void mask_scores(const AttentionParams& p, const Row& row, int query, int key,
                                            float (&s)[kParts][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = query + lane / 4 + 8 * half;
    const Spans spans = spans_of_group(p, row, group_of(p, min(i, row.queries - 1)));
    const Bias bias = bias_of(p, row, i);
#pragma unroll
    for (int j = 0; j < kParts; ++j)
#pragma unroll
      for (int c = 0; c < 2; ++c)
        s[j][2 * half + c] = masked(p, spans, bias, key + j * 8 + lane % 4 * 2 + c, s[j][2 * half + c]);
  }
}

/// The same for transposed scores: a warp's 16 keys from `key` on against 8 kParts queries from `query` on.
template <int kParts>
__device__ __forceinline__ void mask_transposed(const AttentionParams& p, const Row& row, int query, int key,
                                                float (&s)[kParts][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int j = 0; j < kParts; ++j)
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int i = min(query + j * 8 + lane % 4 * 2 + c, row.queries - 1);
      const Spans spans = spans_of_group(p, row, group_of(p, i));
      const Bias bias = bias_of(p, row, i);
#pragma unroll
      for (int half = 0; half < 2; ++half)
        s[j][2 * half + c] = masked(p, spans, bias, key + lane / 4 + 8 * half, s[j][2 * half + c]);
    }
}

/// Rows of the other side that a backward pass walks over at once: with D = 128 the sums leave registers for
/// the scores of 32.
template <int D>
constexpr int kWalkTile = D == 64 ? 64 : 32;

/// Calls f.operator()<T, D>() with the device's type and the head's width.
template <class F>
Status dispatch(const AttentionParams& p, F&& f) {
  if (p.type == FloatType::kF32) return Status::kUnsupported;
  const auto with_width = [&]<class T>() {
    if (p.head_dim == 64) return f.template operator()<T, 64>();
    return p.head_dim == 128 ? f.template operator()<T, 128>() : Status::kUnsupported;
  };
  return p.type == FloatType::kBF16 ? with_width.template operator()<__nv_bfloat16>()
                                    : with_width.template operator()<__half>();
}

/// The first tile of keys (or queries) from `tile` on that `needed` says yes to; `tiles` when there is none.
template <class F>
__device__ __forceinline__ int next_tile(int tile, int tiles, F&& needed) {
  while (tile < tiles && !needed(tile)) ++tile;
  return tile;
}

}  // namespace mmada::kernels::attention
