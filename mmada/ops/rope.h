// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace mmada {

/// Cosines and sines of the rotation angles, fp32 [positions, head_dim / 2].
struct RopeTable {
  at::Tensor cos, sin;
};

/// Angles pos * theta^(-2j/head_dim) for positions 0..length-1, computed in fp32 (SPEC 1.2).
RopeTable rope_table(int64_t length, int64_t head_dim, double theta, at::Device device);

struct Rotated {
  at::Tensor q, k;
};

/// Rotates the halves of every head (half-split convention): with a, b the lower and upper half of the last
/// dimension, [a cos - b sin, b cos + a sin], in fp32, rounded to the dtype. q [..., T, H, head_dim] and k
/// [..., T, G, head_dim] hold the same tokens. positions: int32, a row of the table for every token; without
/// them token t of a row has position t and the table exactly T rows. Differentiable in q and k. The op is
/// mmada::rope.
Rotated rope(const at::Tensor& q_THD, const at::Tensor& k_TGD, const RopeTable& table,
             const std::optional<at::Tensor>& positions = {});
/// The same for one of them.
at::Tensor rope(const at::Tensor& x_THD, const RopeTable& table,
                const std::optional<at::Tensor>& positions = {});

}  // namespace mmada
