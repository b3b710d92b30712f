// SPDX-License-Identifier: MIT
#include "kernels/rope/rope.h"

#include <algorithm>

#include "kernels/common/tile.h"

namespace mmada::kernels {

namespace {

template <class T>
[[gnu::always_inline]] inline void rotate_head(const T* x, T* out, const float* cos, const float* sin,
                                               int64_t half, float direction) {
  for_tiles(
      half, [&](int64_t begin, int64_t count) __attribute__((always_inline)) {
        float a[kTile], b[kTile];
        widen(x + begin, count, a), widen(x + half + begin, count, b);
        for (int64_t c = 0; c < count; ++c) {
          const RopePair turned = rope_pair(a[c], b[c], cos[begin + c], direction * sin[begin + c]);
          a[c] = turned.low, b[c] = turned.high;
        }
        narrow(a, count, out + begin), narrow(b, count, out + half + begin);
      });
}

template <class T>
[[gnu::always_inline]] inline void rotate_tokens(const RopeParams& p, int64_t first, int64_t end) {
  const int64_t half = p.head_dim / 2;
  const float direction = p.inverse ? -1.0f : 1.0f;
  for (int64_t t = first; t < end; ++t) {
    const float *cos = p.cos + rope_position(p, t) * half, *sin = p.sin + rope_position(p, t) * half;
    const T *q = static_cast<const T*>(p.q_THD) + t * p.q_stride,
            *k = static_cast<const T*>(p.k_TGD) + t * p.k_stride;
    T *q_out = static_cast<T*>(p.q_out) + t * p.q_out_stride,
      *k_out = static_cast<T*>(p.k_out) + t * p.k_out_stride;
    for (int64_t h = 0; h < p.heads; ++h)
      rotate_head(q + h * p.head_dim, q_out + h * p.head_dim, cos, sin, half, direction);
    for (int64_t h = 0; h < p.key_heads; ++h)
      rotate_head(k + h * p.head_dim, k_out + h * p.head_dim, cos, sin, half, direction);
  }
}

MMADA_SIMD_CLONES void rotate_f32(const RopeParams& p, int64_t first, int64_t end) {
  rotate_tokens<float>(p, first, end);
}
MMADA_SIMD_CLONES void rotate_bf16(const RopeParams& p, int64_t first, int64_t end) {
  rotate_tokens<BFloat16>(p, first, end);
}
MMADA_SIMD_CLONES void rotate_f16(const RopeParams& p, int64_t first, int64_t end) {
  rotate_tokens<Float16>(p, first, end);
}

}  // namespace

Status rope(const RopeParams& p, const Context& context) {
  if (p.tokens < 0 || p.heads < 0 || p.key_heads < 0 || p.head_dim < 2 || p.head_dim % 2 != 0)
    return Status::kInvalid;
  const int64_t of_token = (p.heads + p.key_heads) * p.head_dim;
  if (p.tokens == 0 || of_token == 0) return Status::kOk;
  const int64_t share = std::max<int64_t>(1, kChunkElements / of_token);
  const auto run = of_type(p.type, rotate_f32, rotate_bf16, rotate_f16);
  context.for_chunks((p.tokens + share - 1) / share,
                     [&](int64_t chunk) { run(p, chunk * share, std::min(p.tokens, (chunk + 1) * share)); });
  return Status::kOk;
}

}  // namespace mmada::kernels
