// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// conv2d(x, weight, bias) of a 3x3 kernel with stride 1 and padding 1: torch op mmada::conv3x3,
/// differentiable. x_BCHW; weight [O, C, 3, 3]; bias [O]. The result is channels-last where the kernel
/// computed it.
at::Tensor conv3x3(const at::Tensor& x_BCHW, const at::Tensor& weight_OCKK, const at::Tensor& bias_O);

/// The same into `out` (mmada::conv3x3.out) and added to `sum` (mmada::conv3x3_add_): by the kernel only, no
/// gradient, channels-last; x must not overlap the result.
void conv3x3_out(at::Tensor& out_BOHW, const at::Tensor& x_BCHW, const at::Tensor& weight_OCKK,
                 const at::Tensor& bias_O);
void conv3x3_add(at::Tensor& sum_BOHW, const at::Tensor& x_BCHW, const at::Tensor& weight_OCKK,
                 const at::Tensor& bias_O);

/// Whether the kernel takes these operands: fp32 on a CPU, channels that are multiples of 16, and enough of
/// them that it is the faster way.
bool conv3x3_has_kernel(const at::Tensor& x_BCHW, const at::Tensor& weight_OCKK);

}  // namespace mmada
