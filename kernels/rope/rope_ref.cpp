// SPDX-License-Identifier: MIT
#include "kernels/rope/rope.h"

#include <vector>

namespace mmada::kernels {

namespace {

void rotate_head(const float* x, float* out, const float* cos, const float* sin, int64_t half,
                 double direction) {
  for (int64_t j = 0; j < half; ++j) {
    const double a = x[j], b = x[half + j], s = direction * sin[j];
    out[j] = static_cast<float>(a * cos[j] - b * s);
    out[half + j] = static_cast<float>(b * cos[j] + a * s);
  }
}

}  // namespace

void rope_ref(const RopeParams& p) {
  const int64_t half = p.head_dim / 2;
  for (int64_t t = 0; t < p.tokens; ++t) {
    const int64_t row = rope_position(p, t) * half;
    const auto rotate = [&](const void* x, int64_t stride, void* out, int64_t out_stride, int64_t heads) {
      for (int64_t h = 0; h < heads; ++h)
        rotate_head(static_cast<const float*>(x) + t * stride + h * p.head_dim,
                    static_cast<float*>(out) + t * out_stride + h * p.head_dim, p.cos + row, p.sin + row,
                    half, p.inverse ? -1.0 : 1.0);
    };
    rotate(p.q_THD, p.q_stride, p.q_out, p.q_out_stride, p.heads);
    rotate(p.k_TGD, p.k_stride, p.k_out, p.k_out_stride, p.key_heads);
  }
}

}  // namespace mmada::kernels
