// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// RMSNorm over the last dimension (SPEC 1.2): r = x * rsqrt(mean(x^2) + eps) in fp32, rounded to x's dtype,
/// then multiplied by the weight in that dtype. x [..., D], weight [D]; differentiable in both.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

}  // namespace mmada
