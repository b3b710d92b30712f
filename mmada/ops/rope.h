// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// Cosines and sines of the rotation angles, fp32. One row per position.
struct RopeTable {
  at::Tensor cos;  ///< [..., head_dim / 2]
  at::Tensor sin;  ///< [..., head_dim / 2]
};

/// Angles pos * theta^(-2j/head_dim) for positions 0..length-1, computed in fp32 (SPEC 1.2).
RopeTable rope_table(int64_t length, int64_t head_dim, double theta, at::Device device);

/// Rotates the halves of every head (half-split convention): with a, b the lower and upper half of the last
/// dimension, [a cos - b sin, b cos + a sin], in fp32, rounded to x's dtype. x [..., T, H, head_dim]; the
/// table's rows [T, .] (or [..., T, .]) are shared by the heads. Differentiable in x.
at::Tensor rope(const at::Tensor& x_THD, const RopeTable& table);

}  // namespace mmada
