// SPDX-License-Identifier: MIT
#include <cstring>

#include "kernels/conv3x3/winograd.h"

namespace mmada::kernels::winograd {

namespace {

/// W floats side by side. Passed by reference only: by value, wide vectors change the calling convention.
template <int W>
struct Lanes {
  typedef float Vec __attribute__((vector_size(W * sizeof(float))));
  typedef float Unaligned __attribute__((vector_size(W * sizeof(float)), aligned(alignof(float)), may_alias));
};
template <int W>
[[gnu::always_inline]] inline void load(typename Lanes<W>::Vec& v, const float* from) {
  v = *reinterpret_cast<const typename Lanes<W>::Unaligned*>(from);
}
template <int W>
[[gnu::always_inline]] inline void store(const typename Lanes<W>::Vec& v, float* to) {
  *reinterpret_cast<typename Lanes<W>::Unaligned*>(to) = v;
}

struct Tile {
  int64_t sample, row, column;  ///< of the first output pixel
};
[[gnu::always_inline]] inline Tile tile_at(const Plan& plan, int64_t index) {
  const int64_t row = index / plan.tile_columns;
  return {row / plan.tile_rows, row % plan.tile_rows * kOutputs, index % plan.tile_columns * kOutputs};
}
[[gnu::always_inline]] inline int64_t tiles_in(const Plan& plan, int64_t block) {
  const int64_t left = plan.tiles - block * kTileBlock;
  return left < kTileBlock ? left : kTileBlock;
}

// ---- inputs: [36, kTileBlock, in]

/// Where each of a tile's 6x6 input pixels lies.
[[gnu::always_inline]] inline void find_pixels(const Conv3x3Params& p, const Tile& tile, const float* zeros_C,
                                               const float* (&pixel)[kPoints]) {
#pragma GCC unroll 6
  for (int64_t i = 0; i < kInputs; ++i)
#pragma GCC unroll 6
    for (int64_t j = 0; j < kInputs; ++j) {
      const int64_t row = tile.row + i - 1, column = tile.column + j - 1;
      const bool inside = row >= 0 && row < p.height && column >= 0 && column < p.width;
      pixel[i * kInputs + j] =
          inside ? p.x + ((tile.sample * p.height + row) * p.width + column) * p.in_channels : zeros_C;
    }
}

template <int W>
[[gnu::always_inline]] inline void input_step(const Conv3x3Params& p, const Plan& plan, int64_t block,
                                              const float* zeros_C, float* inputs) {
  using Vec = typename Lanes<W>::Vec;
  const int64_t count = tiles_in(plan, block);
  if (count < kTileBlock)  // whole groups of tiles are multiplied: none may hold what the memory held before
    std::memset(inputs, 0, static_cast<size_t>(plan.input_size()) * sizeof(float));
  for (int64_t t = 0; t < count; ++t) {
    const float* pixel[kPoints];
    find_pixels(p, tile_at(plan, block * kTileBlock + t), zeros_C, pixel);
    for (int64_t c = 0; c < p.in_channels; c += W) {
      Vec columns[kInputs][kInputs];  // transposed: [column][point]
#pragma GCC unroll 6
      for (int64_t j = 0; j < kInputs; ++j) {
        Vec d[kInputs];
#pragma GCC unroll 6
        for (int64_t i = 0; i < kInputs; ++i) load<W>(d[i], pixel[i * kInputs + j] + c);
        transform_input(d, columns[j]);
      }
      float* out = inputs + t * p.in_channels + c;
#pragma GCC unroll 6
      for (int64_t i = 0; i < kInputs; ++i) {
        Vec d[kInputs], v[kInputs];
#pragma GCC unroll 6
        for (int64_t j = 0; j < kInputs; ++j) d[j] = columns[j][i];
        transform_input(d, v);
#pragma GCC unroll 6
        for (int64_t j = 0; j < kInputs; ++j) store<W>(v[j], out + (i * kInputs + j) * plan.input_stride);
      }
    }
  }
}

// ---- weights: [36, in, 16]

template <int W>
[[gnu::always_inline]] inline void weight_step(const Conv3x3Params& p, const Plan& plan, int64_t panel,
                                               int64_t first, float* weights) {
  using Vec = typename Lanes<W>::Vec;
  const int64_t end = p.in_channels - first < plan.depth ? p.in_channels : first + plan.depth;
  for (int64_t c = first; c < end; ++c) {
    float taps[9][kPanel];
    for (int64_t o = 0; o < kPanel; ++o)
      for (int64_t k = 0; k < 9; ++k)
        taps[k][o] = p.weight_OCKK[((panel * kPanel + o) * p.in_channels + c) * 9 + k];
    for (int64_t o = 0; o < kPanel; o += W) {
      Vec columns[3][kInputs];
#pragma GCC unroll 3
      for (int64_t v = 0; v < 3; ++v) {
        Vec w[3];
#pragma GCC unroll 3
        for (int64_t u = 0; u < 3; ++u) load<W>(w[u], &taps[u * 3 + v][o]);
        transform_weight(w, columns[v]);
      }
      float* out = weights + (c - first) * kPanel + o;
#pragma GCC unroll 6
      for (int64_t i = 0; i < kInputs; ++i) {
        Vec w[3], points[kInputs];
#pragma GCC unroll 3
        for (int64_t v = 0; v < 3; ++v) w[v] = columns[v][i];
        transform_weight(w, points);
#pragma GCC unroll 6
        for (int64_t j = 0; j < kInputs; ++j)
          store<W>(points[j], out + (i * kInputs + j) * plan.weight_stride);
      }
    }
  }
}

// ---- products: [panels, kTileBlock, 36, 16]

/// R tiles times one panel at one point: a block of a matrix product held in registers.
template <int W, int R>
[[gnu::always_inline]] inline void multiply_rows(const float* inputs, int64_t stride, const float* weights,
                                                 int64_t depth, bool add, float* products) {
  using Vec = typename Lanes<W>::Vec;
  constexpr int kVectors = kPanel / W;
  Vec sum[R][kVectors] = {};
  if (add) {
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) load<W>(sum[r][v], products + r * kPoints * kPanel + v * W);
  }
  for (int64_t c = 0; c < depth; ++c) {
    Vec w[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) load<W>(w[v], weights + c * kPanel + v * W);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const float d = inputs[r * stride + c];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] += d * w[v];
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store<W>(sum[r][v], products + r * kPoints * kPanel + v * W);
}

template <int W, int R>
[[gnu::always_inline]] inline void multiply_step(const Conv3x3Params& p, const Plan& plan,
                                                 const Products& job) {
  static_assert(kTileBlock % R == 0);
  const int64_t count = tiles_in(plan, job.block);
  for (int64_t point = 0; point < kPoints; ++point)
    for (int64_t panel = 0; panel < job.panels; ++panel)
      for (int64_t t = 0; t < count; t += R)
        multiply_rows<W, R>(job.inputs + point * plan.input_stride + t * p.in_channels, p.in_channels,
                            job.weights + panel * plan.weight_size() + point * plan.weight_stride, job.depth,
                            job.add,
                            job.products + panel * Plan::product_size() + (t * kPoints + point) * kPanel);
}

// ---- outputs

/// The W channels of one row of a tile's outputs, `count` of its four pixels.
template <int W>
[[gnu::always_inline]] inline void write_row(const Conv3x3Params& p,
                                             const typename Lanes<W>::Vec (&out)[kOutputs],
                                             const typename Lanes<W>::Vec& bias, int64_t count, float* y) {
#pragma GCC unroll 4
  for (int64_t j = 0; j < kOutputs; ++j) {
    if (j >= count) break;
    typename Lanes<W>::Vec sum = out[j] + bias;
    if (p.add) {
      typename Lanes<W>::Vec before;
      load<W>(before, y + j * p.out_channels);
      sum += before;
    }
    store<W>(sum, y + j * p.out_channels);
  }
}

/// One tile's W output channels from `o` on, the pixels inside of the picture only.
template <int W>
[[gnu::always_inline]] inline void output_tile(const Conv3x3Params& p, const Tile& tile,
                                               const float* products, int64_t o) {
  using Vec = typename Lanes<W>::Vec;
  Vec columns[kInputs][kOutputs], bias;
#pragma GCC unroll 6
  for (int64_t j = 0; j < kInputs; ++j) {
    Vec m[kInputs];
#pragma GCC unroll 6
    for (int64_t i = 0; i < kInputs; ++i) load<W>(m[i], products + (i * kInputs + j) * kPanel);
    transform_output(m, columns[j]);
  }
  load<W>(bias, p.bias_O + o);
  const int64_t rows = p.height - tile.row, count = p.width - tile.column;
  float* y = p.y + ((tile.sample * p.height + tile.row) * p.width + tile.column) * p.out_channels + o;
#pragma GCC unroll 4
  for (int64_t i = 0; i < kOutputs; ++i) {
    if (i >= rows) break;
    Vec m[kInputs], out[kOutputs];
#pragma GCC unroll 6
    for (int64_t j = 0; j < kInputs; ++j) m[j] = columns[j][i];
    transform_output(m, out);
    write_row<W>(p, out, bias, count, y + i * p.width * p.out_channels);
  }
}

template <int W>
[[gnu::always_inline]] inline void output_step(const Conv3x3Params& p, const Plan& plan, int64_t block,
                                               int64_t panel, const float* products) {
  const int64_t count = tiles_in(plan, block);
  for (int64_t t = 0; t < count; ++t)
    for (int64_t o = 0; o < kPanel; o += W)
      output_tile<W>(p, tile_at(plan, block * kTileBlock + t), products + t * kPoints * kPanel + o,
                     panel * kPanel + o);
}

// ---- instruction sets

#define MMADA_WINOGRAD_STEPS(set, attribute, W, R)                                                          \
  attribute void input_##set(const Conv3x3Params& p, const Plan& plan, int64_t block, const float* zeros_C, \
                             float* inputs) {                                                               \
    input_step<W>(p, plan, block, zeros_C, inputs);                                                         \
  }                                                                                                         \
  attribute void weights_##set(const Conv3x3Params& p, const Plan& plan, int64_t panel, int64_t first,      \
                               float* weights) {                                                            \
    weight_step<W>(p, plan, panel, first, weights);                                                         \
  }                                                                                                         \
  attribute void multiply_##set(const Conv3x3Params& p, const Plan& plan, const Products& products) {       \
    multiply_step<W, R>(p, plan, products);                                                                 \
  }                                                                                                         \
  attribute void output_##set(const Conv3x3Params& p, const Plan& plan, int64_t block, int64_t panel,       \
                              const float* products) {                                                      \
    output_step<W>(p, plan, block, panel, products);                                                        \
  }

// R rows of 16 sums and what they are made of fill the registers: 12 of 32, 6 * 2 of 16, 3 * 4 of 16
#if defined(__x86_64__) && defined(__GNUC__)
MMADA_WINOGRAD_STEPS(v4, [[gnu::target("arch=x86-64-v4")]], 16, 12)
MMADA_WINOGRAD_STEPS(v3, [[gnu::target("arch=x86-64-v3")]], 8, 6)
#endif
MMADA_WINOGRAD_STEPS(any, , 4, 3)

constexpr Steps kSteps[] = {
#if defined(__x86_64__) && defined(__GNUC__)
    {"AVX-512", [] { return __builtin_cpu_supports("x86-64-v4") != 0; }, input_v4, weights_v4, multiply_v4,
     output_v4},
    {"AVX2", [] { return __builtin_cpu_supports("x86-64-v3") != 0; }, input_v3, weights_v3, multiply_v3,
     output_v3},
#endif
    {"any", [] { return true; }, input_any, weights_any, multiply_any, output_any},
};

}  // namespace

std::span<const Steps> all_steps() { return kSteps; }

}  // namespace mmada::kernels::winograd
