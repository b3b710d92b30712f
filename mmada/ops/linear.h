// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// x [..., I] times the transpose of weight [O, I] -> [..., O]. Differentiable in both.
///
/// On CPUs fp32 products run in oneDNN: ATen would call MKL, which on AMD processors leaves AVX-512 unused
/// (measured on Zen 5, one thread: 225 against 104 GFLOP/s at [2996, 192] x [192, 512]).
at::Tensor project(const at::Tensor& x, const at::Tensor& weight);

/// a [M, K] times the transpose of b [N, K] -> [M, N], any strides, by the same route; not differentiable.
at::Tensor product_transposed(const at::Tensor& a_MK, const at::Tensor& b_NK);

}  // namespace mmada
