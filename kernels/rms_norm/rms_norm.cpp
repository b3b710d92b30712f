// SPDX-License-Identifier: MIT
// A thread takes whole rows. Each sum goes over kTile lanes, which are added up at the row's end. The
// gradient of the weight is summed per chunk of rows, whose number depends on the shape alone, and then over
// the chunks in order.
#include "kernels/rms_norm/rms_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/tile.h"

namespace mmada::kernels {

namespace {

constexpr int64_t kMostChunks = 16;  // of the backward pass: each has its own sums of the weight's gradient

/// What is normalised of a row, in fp32: x, or x + residual rounded to T, which is written to sum.
template <class T>
[[gnu::always_inline]] inline void read_row(const RmsNormParams& p, int64_t at, int64_t count,
                                            float (&x)[kTile]) {
  widen(static_cast<const T*>(p.x_ND) + at, count, x);
  if (p.residual_ND == nullptr) return;
  float residual[kTile];
  widen(static_cast<const T*>(p.residual_ND) + at, count, residual);
  for (int64_t c = 0; c < count; ++c) x[c] += residual[c];
  T rounded[kTile];
  narrow(x, count, rounded);
  widen(rounded, count, x);
  std::copy_n(rounded, count, static_cast<T*>(p.sum_ND) + at);
}

template <class T>
[[gnu::always_inline]] inline void norm_row(const RmsNormParams& p, int64_t n) {
  const int64_t row = n * p.width;
  float squares[kTile] = {};
  for_tiles(
      p.width, [&](int64_t begin, int64_t count) __attribute__((always_inline)) {
        float x[kTile];
        read_row<T>(p, row + begin, count, x);
        for (int64_t c = 0; c < count; ++c) squares[c] += x[c] * x[c];
      });
  const float inverse = 1.0f / std::sqrt(sum_lanes(squares) / static_cast<float>(p.width) + p.eps);
  if (p.inverse_rms_N != nullptr) p.inverse_rms_N[n] = inverse;
  const T* source = static_cast<const T*>(p.residual_ND != nullptr ? p.sum_ND : p.x_ND) + row;
  const T* weight = static_cast<const T*>(p.weight_D);
  T* out = static_cast<T*>(p.out_ND) + row;
  for_tiles(
      p.width, [&](int64_t begin, int64_t count) __attribute__((always_inline)) {
        float x[kTile], w[kTile];
        widen(source + begin, count, x), widen(weight + begin, count, w);
        for (int64_t c = 0; c < count; ++c) x[c] *= inverse;
        T rounded[kTile];
        narrow(x, count, rounded);
        widen(rounded, count, x);
        for (int64_t c = 0; c < count; ++c) x[c] *= w[c];
        narrow(x, count, out + begin);
      });
}

/// dweight_D: the chunk's own sums.
template <class T>
[[gnu::always_inline]] inline void gradient_row(const RmsNormParams& p, const RmsNormGradients& g, int64_t n,
                                                float* dweight_D) {
  const int64_t row = n * p.width;
  const auto *x = static_cast<const T*>(p.x_ND) + row, *dout = static_cast<const T*>(g.dout_ND) + row,
             *weight = static_cast<const T*>(p.weight_D),
             *dsum = g.dsum_ND != nullptr ? static_cast<const T*>(g.dsum_ND) + row : nullptr;
  T* dx = static_cast<T*>(g.dx_ND) + row;
  const float inverse = p.inverse_rms_N[n];
  float products[kTile] = {};
  for_tiles(
      p.width, [&](int64_t begin, int64_t count) __attribute__((always_inline)) {
        float y[kTile], dy[kTile], w[kTile];
        widen(x + begin, count, y), widen(dout + begin, count, dy), widen(weight + begin, count, w);
        for (int64_t c = 0; c < count; ++c) {
          const float product = dy[c] * (y[c] * inverse);
          products[c] += product * w[c];
          dweight_D[begin + c] += product;
        }
      });
  const float mean = sum_lanes(products) / static_cast<float>(p.width);
  for_tiles(
      p.width, [&](int64_t begin, int64_t count) __attribute__((always_inline)) {
        float y[kTile], dy[kTile], w[kTile];
        widen(x + begin, count, y), widen(dout + begin, count, dy), widen(weight + begin, count, w);
        for (int64_t c = 0; c < count; ++c) dy[c] = inverse * (dy[c] * w[c] - y[c] * inverse * mean);
        if (dsum != nullptr) {
          widen(dsum + begin, count, y);
          for (int64_t c = 0; c < count; ++c) dy[c] += y[c];
        }
        narrow(dy, count, dx + begin);
      });
}

struct Rows {
  int64_t begin, end;
};

template <class T>
[[gnu::always_inline]] inline void norm_rows(const RmsNormParams& p, Rows rows) {
  for (int64_t n = rows.begin; n < rows.end; ++n) norm_row<T>(p, n);
}
MMADA_SIMD_CLONES void norm_f32(const RmsNormParams& p, Rows rows) { norm_rows<float>(p, rows); }
MMADA_SIMD_CLONES void norm_bf16(const RmsNormParams& p, Rows rows) { norm_rows<BFloat16>(p, rows); }
MMADA_SIMD_CLONES void norm_f16(const RmsNormParams& p, Rows rows) { norm_rows<Float16>(p, rows); }

template <class T>
[[gnu::always_inline]] inline void gradient_rows(const RmsNormParams& p, const RmsNormGradients& g, Rows rows,
                                                 float* dweight_D) {
  std::fill(dweight_D, dweight_D + p.width, 0.0f);
  for (int64_t n = rows.begin; n < rows.end; ++n) gradient_row<T>(p, g, n, dweight_D);
}
MMADA_SIMD_CLONES void gradient_f32(const RmsNormParams& p, const RmsNormGradients& g, Rows rows,
                                    float* dweight_D) {
  gradient_rows<float>(p, g, rows, dweight_D);
}
MMADA_SIMD_CLONES void gradient_bf16(const RmsNormParams& p, const RmsNormGradients& g, Rows rows,
                                     float* dweight_D) {
  gradient_rows<BFloat16>(p, g, rows, dweight_D);
}
MMADA_SIMD_CLONES void gradient_f16(const RmsNormParams& p, const RmsNormGradients& g, Rows rows,
                                    float* dweight_D) {
  gradient_rows<Float16>(p, g, rows, dweight_D);
}

/// The rows in chunks of `share`, but for the last.
struct Chunks {
  int64_t rows, share;
  int64_t count() const { return (rows + share - 1) / share; }
  Rows chunk(int64_t k) const { return {k * share, std::min(rows, (k + 1) * share)}; }
};

Chunks forward_chunks(const RmsNormParams& p) {
  return {p.rows, std::max<int64_t>(1, kChunkElements / p.width)};
}
Chunks backward_chunks(const RmsNormParams& p) {
  return {p.rows, std::max(forward_chunks(p).share, (p.rows + kMostChunks - 1) / kMostChunks)};
}

bool is_valid(const RmsNormParams& p) {
  return p.rows >= 0 && p.width >= 1 && (p.residual_ND == nullptr || p.sum_ND != nullptr);
}

}  // namespace

Status rms_norm(const RmsNormParams& p, const Context& context) {
  if (!is_valid(p)) return Status::kInvalid;
  const Chunks chunks = forward_chunks(p);
  const auto run = of_type(p.type, norm_f32, norm_bf16, norm_f16);
  context.for_chunks(chunks.count(), [&](int64_t k) { run(p, chunks.chunk(k)); });
  return Status::kOk;
}

size_t rms_norm_backward_cpu_workspace_size(const RmsNormParams& p) {
  return static_cast<size_t>(backward_chunks(p).count() * p.width) * sizeof(float);
}

Status rms_norm_backward(const RmsNormParams& p, const RmsNormGradients& g, const Context& context) {
  if (!is_valid(p)) return Status::kInvalid;
  if (context.workspace_bytes < rms_norm_backward_cpu_workspace_size(p)) return Status::kWorkspaceTooSmall;
  const Chunks chunks = backward_chunks(p);
  auto* parts = static_cast<float*>(context.workspace);
  const auto run = of_type(p.type, gradient_f32, gradient_bf16, gradient_f16);
  context.for_chunks(chunks.count(), [&](int64_t k) { run(p, g, chunks.chunk(k), parts + k * p.width); });
  std::fill(g.dweight_D, g.dweight_D + p.width, 0.0f);
  for (int64_t k = 0; k < chunks.count(); ++k)
    for (int64_t d = 0; d < p.width; ++d) g.dweight_D[d] += parts[k * p.width + d];
  return Status::kOk;
}

}  // namespace mmada::kernels
