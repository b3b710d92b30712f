// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// Weights that share a scale, counted from the parameter's first.
inline constexpr int64_t kMomentBlock = 256;

/// The moments of one tensor in a byte each (kernels/adamw_8bit). All zero at first.
struct Moments8bit {
  at::Tensor exp_avg, exp_avg_root;              ///< uint8, one for each weight
  at::Tensor exp_avg_scale, exp_avg_root_scale;  ///< fp32, one for each kMomentBlock weights begun
};
/// Zeros for a tensor of so many elements.
Moments8bit moments_8bit(int64_t elements, at::Device device);

struct Adamw8bitOptions {
  double learning_rate = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  int64_t step = 1;  ///< from 1
};

/// Moves dense fp32 weights by their dense fp32 gradients, and the moments, in place. The op is
/// mmada::adamw_8bit_.
void adamw_8bit(const at::Tensor& weight, const at::Tensor& grad, const Moments8bit& moments,
                const Adamw8bitOptions& options);

}  // namespace mmada
