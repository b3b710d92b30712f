// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// silu(GroupNorm(x)) over pictures [B, C, H, W]: torch op mmada::group_norm_silu, differentiable. The result
/// is channels-last where it was computed by the fused kernel (no gradient needed; fp32 and bf16 on CPUs,
/// fp16 too on GPUs).
at::Tensor group_norm_silu(const at::Tensor& x_BCHW, const at::Tensor& weight_C, const at::Tensor& bias_C,
                           int64_t groups, double eps);

/// The same into `out` (mmada::group_norm_silu.out), which may be x: no gradient, channels-last only.
void group_norm_silu_out(at::Tensor& out_BCHW, const at::Tensor& x_BCHW, const at::Tensor& weight_C,
                         const at::Tensor& bias_C, int64_t groups, double eps);

/// Whether the fused kernel takes this element type on this device.
bool group_norm_silu_is_fused(const at::Tensor& x_BCHW);

}  // namespace mmada
