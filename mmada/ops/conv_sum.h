// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// sum += conv2d(x, weight, bias) in place, without autograd; channels-last. On CPUs one oneDNN call
/// (PyTorch's mkldnn::_convolution_pointwise_) where this libtorch has it, else a convolution and a sum.
void conv_sum(at::Tensor& sum_BOHW, const at::Tensor& x_BCHW, const at::Tensor& weight_OCKK,
              const at::Tensor& bias_O, int64_t stride, int64_t padding);

/// Whether conv_sum is one call for this picture.
bool conv_sum_is_fused(const at::Tensor& x_BCHW);

}  // namespace mmada
