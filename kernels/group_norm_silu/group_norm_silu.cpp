// SPDX-License-Identifier: MIT
#include "kernels/group_norm_silu/group_norm_silu.h"

#include <algorithm>

#include "kernels/group_norm_silu/plan.h"

namespace mmada::kernels {

namespace {

using group_norm::Affine;
using group_norm::apply_affine;
using group_norm::Moments;
using group_norm::Plan;

constexpr int64_t kTile = 64;   // channels summed side by side
constexpr int64_t kBlock = 64;  // positions summed in fp32

/// A chunk of one sample: positions [0, positions) from x and y on.
struct Chunk {
  const GroupNormSiluParams& params;
  const void* x;
  void* y;
  int64_t positions;
};

// ---- pass 1: moments
// ------------------------------------------------------------------------------------------------

/// Sums of one block of positions over channels [c0, c0 + width), added to the channels' groups.
template <class T>
[[gnu::always_inline]] inline void add_block(const GroupNormSiluParams& p, const T* x, int64_t positions,
                                             int64_t c0, int64_t width, const float* pivots_G,
                                             Moments* out_G) {
  float pivot[kTile], sum[kTile] = {}, squares[kTile] = {};
  const int64_t per_group = p.channels / p.groups;
  for (int64_t c = 0; c < width; ++c) pivot[c] = pivots_G[(c0 + c) / per_group];
  for (int64_t i = 0; i < positions; ++i) {
    const T* row = x + i * p.channels + c0;
    for (int64_t c = 0; c < width; ++c) {
      const float d = to_float(row[c]) - pivot[c];
      sum[c] += d;
      squares[c] += d * d;
    }
  }
  for (int64_t c = 0; c < width; ++c) {
    Moments& group = out_G[(c0 + c) / per_group];
    group.sum += sum[c];
    group.squares += squares[c];
  }
}

template <class T>
[[gnu::always_inline]] inline void moments_chunk(const Chunk& chunk, const float* pivots_G, Moments* out_G) {
  const GroupNormSiluParams& p = chunk.params;
  std::fill(out_G, out_G + p.groups, Moments{});
  for (int64_t begin = 0; begin < chunk.positions; begin += kBlock) {
    const T* x = static_cast<const T*>(chunk.x) + begin * p.channels;
    const int64_t positions = std::min(kBlock, chunk.positions - begin);
    int64_t c0 = 0;
    for (; c0 + kTile <= p.channels; c0 += kTile) add_block(p, x, positions, c0, kTile, pivots_G, out_G);
    if (c0 < p.channels) add_block(p, x, positions, c0, p.channels - c0, pivots_G, out_G);
  }
}

MMADA_SIMD_CLONES void moments_f32(const Chunk& chunk, const float* pivots_G, Moments* out_G) {
  moments_chunk<float>(chunk, pivots_G, out_G);
}
MMADA_SIMD_CLONES void moments_bf16(const Chunk& chunk, const float* pivots_G, Moments* out_G) {
  moments_chunk<BFloat16>(chunk, pivots_G, out_G);
}

// ---- pass 2: normalise
// ----------------------------------------------------------------------------------------------

template <class T>
[[gnu::always_inline]] inline void apply_chunk(const Chunk& chunk, const Affine* affine_C) {
  const int64_t channels = chunk.params.channels;
  // channels in tiles with the affine held by value: y may be x, but never these
  for (int64_t c0 = 0; c0 < channels; c0 += kTile) {
    const int64_t width = std::min(kTile, channels - c0);
    float mean[kTile] = {}, scale[kTile] = {}, bias[kTile] = {};
    for (int64_t c = 0; c < width; ++c) {
      mean[c] = affine_C[c0 + c].mean;
      scale[c] = affine_C[c0 + c].scale;
      bias[c] = affine_C[c0 + c].bias;
    }
    for (int64_t i = 0; i < chunk.positions; ++i) {
      const T* x = static_cast<const T*>(chunk.x) + i * channels + c0;
      T* y = static_cast<T*>(chunk.y) + i * channels + c0;
      float h[kTile];
      for (int64_t c = 0; c < width; ++c) h[c] = apply_affine(to_float(x[c]), {mean[c], scale[c], bias[c]});
      for (int64_t c = 0; c < width; ++c) from_float(h[c], y[c]);
    }
  }
}

MMADA_SIMD_CLONES void apply_f32(const Chunk& chunk, const Affine* affine_C) {
  apply_chunk<float>(chunk, affine_C);
}
MMADA_SIMD_CLONES void apply_bf16(const Chunk& chunk, const Affine* affine_C) {
  apply_chunk<BFloat16>(chunk, affine_C);
}

// ---- the whole
// ------------------------------------------------------------------------------------------------------

/// The value each group's sums are counted from: its first element in the sample.
template <class T>
void read_pivots(const GroupNormSiluParams& p, int64_t n, float* pivots_G) {
  const T* x = static_cast<const T*>(p.x) + n * p.positions * p.channels;
  for (int64_t g = 0; g < p.groups; ++g) pivots_G[g] = to_float(x[g * (p.channels / p.groups)]);
}

struct Kernels {
  size_t element;
  void (*pivots)(const GroupNormSiluParams&, int64_t, float*);
  void (*moments)(const Chunk&, const float*, Moments*);
  void (*apply)(const Chunk&, const Affine*);
};
constexpr Kernels kF32 = {sizeof(float), read_pivots<float>, moments_f32, apply_f32};
constexpr Kernels kBF16 = {sizeof(BFloat16), read_pivots<BFloat16>, moments_bf16, apply_bf16};

void make_affines(const GroupNormSiluParams& p, const float* pivots_G, const Moments* moments, int64_t chunks,
                  Affine* affine_C) {
  const int64_t per_group = p.channels / p.groups;
  for (int64_t g = 0; g < p.groups; ++g) {
    Moments total;
    for (int64_t k = 0; k < chunks; ++k) {
      total.sum += moments[k * p.groups + g].sum;
      total.squares += moments[k * p.groups + g].squares;
    }
    for (int64_t c = g * per_group; c < (g + 1) * per_group; ++c)
      affine_C[c] = group_norm::make_affine(total, p.positions * per_group, pivots_G[g], p.weight_C[c],
                                            p.bias_C[c], p.eps);
  }
}

void run(const Kernels& kernels, const GroupNormSiluParams& p, const Context& context) {
  const Plan plan(p);
  Moments* moments = group_norm::moments_of(context);
  Affine* affine = group_norm::affine_of(p, context);
  auto* pivots = reinterpret_cast<float*>(affine + p.batch * p.channels);
  const auto chunk_of = [&](int64_t index) {
    const int64_t n = index / plan.chunks, begin = index % plan.chunks * plan.chunk_positions;
    const size_t offset = static_cast<size_t>((n * p.positions + begin) * p.channels) * kernels.element;
    return Chunk{p, static_cast<const char*>(p.x) + offset, static_cast<char*>(p.y) + offset,
                 std::min(plan.chunk_positions, p.positions - begin)};
  };
  for (int64_t n = 0; n < p.batch; ++n) kernels.pivots(p, n, pivots + n * p.groups);
  context.for_chunks(p.batch * plan.chunks, [&](int64_t index) {
    kernels.moments(chunk_of(index), pivots + index / plan.chunks * p.groups, moments + index * p.groups);
  });
  for (int64_t n = 0; n < p.batch; ++n)
    make_affines(p, pivots + n * p.groups, moments + n * plan.chunks * p.groups, plan.chunks,
                 affine + n * p.channels);
  context.for_chunks(p.batch * plan.chunks, [&](int64_t index) {
    kernels.apply(chunk_of(index), affine + index / plan.chunks * p.channels);
  });
}

}  // namespace

size_t group_norm_silu_workspace_size(const GroupNormSiluParams& p) {
  const auto count = [](int64_t n) { return static_cast<size_t>(n); };
  return count(p.batch * Plan(p).chunks * p.groups) * sizeof(Moments) +
         count(p.batch * p.channels) * sizeof(Affine) + count(p.batch * p.groups) * sizeof(float);
}

Status group_norm_silu(const GroupNormSiluParams& params, const Context& context) {
  if (const Status status = group_norm::check(params, context); status != Status::kOk) return status;
  if (params.type == FloatType::kF16) return Status::kUnsupported;
  if (params.batch > 0 && params.positions > 0)
    run(params.type == FloatType::kF32 ? kF32 : kBF16, params, context);
  return Status::kOk;
}

}  // namespace mmada::kernels
