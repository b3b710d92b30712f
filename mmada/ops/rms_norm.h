// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// RMSNorm over the last dimension (SPEC 1.2): r = x * rsqrt(mean(x^2) + eps) in fp32, rounded to x's dtype,
/// then multiplied by the weight in that dtype. x [..., D], weight [D]; differentiable in both. The op is
/// mmada::rms_norm.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

struct AddedNorm {
  at::Tensor sum;   ///< x + residual, rounded to their dtype
  at::Tensor norm;  ///< rms_norm of it
};
/// The residual stream's step in one pass: x and residual are alike. The op is mmada::add_rms_norm.
AddedNorm add_rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, double eps);

}  // namespace mmada
