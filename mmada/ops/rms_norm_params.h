// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include "kernels/rms_norm/rms_norm.h"
#include "mmada/core/check.h"
#include "mmada/ops/kernel_context.h"

namespace mmada::ops {

using OptionalTensor = std::optional<at::Tensor>;

/// What every implementation of mmada::rms_norm and mmada::add_rms_norm refuses.
inline void check_rms_norm(const at::Tensor& x, const OptionalTensor& residual, const at::Tensor& weight) {
  MMADA_CHECK(x.dim() >= 1 && weight.dim() == 1 && x.size(-1) == weight.size(0) &&
                  x.scalar_type() == weight.scalar_type() && x.device() == weight.device(),
              "mmada::rms_norm: found x ", x.scalar_type(), " ", x.sizes(), " on ", x.device(),
              " and weight ", weight.scalar_type(), " ", weight.sizes(), " on ", weight.device(),
              ", expected [..., D] and [D] of one type and device");
  if (!residual) return;
  MMADA_CHECK(residual->sizes() == x.sizes() && residual->scalar_type() == x.scalar_type() &&
                  residual->device() == x.device(),
              "mmada::add_rms_norm: residual: found ", residual->scalar_type(), " ", residual->sizes(),
              " on ", residual->device(), ", expected what x is: ", x.scalar_type(), " ", x.sizes(), " on ",
              x.device());
}

inline kernels::RmsNormParams rms_norm_params(const at::Tensor& x, const at::Tensor& weight) {
  const auto type = kernel_float_type(x.scalar_type());
  MMADA_CHECK(type, "mmada::rms_norm: found ", x.scalar_type(), ", expected fp32, bf16 or fp16");
  const int64_t width = x.size(-1);
  return {.x_ND = x.const_data_ptr(),
          .weight_D = weight.const_data_ptr(),
          .type = *type,
          .rows = width > 0 ? x.numel() / width : 0,
          .width = width};
}

/// The op on a device whose kernels Device::forward and Device::backward call.
template <class Device>
std::tuple<at::Tensor, at::Tensor, at::Tensor> rms_norm_forward_on(const at::Tensor& x_in,
                                                                   const OptionalTensor& residual_in,
                                                                   const at::Tensor& weight_in, double eps) {
  check_rms_norm(x_in, residual_in, weight_in);
  const at::Tensor x = x_in.contiguous(), weight = weight_in.contiguous();
  kernels::RmsNormParams params = rms_norm_params(x, weight);
  auto shape = x.sizes().vec();
  shape.back() = 1;
  const at::Tensor out = at::empty_like(x), inverse = at::empty(shape, x.options().dtype(at::kFloat));
  at::Tensor residual, sum = at::empty({0}, x.options());
  if (residual_in) {
    residual = residual_in->contiguous(), sum = at::empty_like(x);
    params.residual_ND = residual.const_data_ptr(), params.sum_ND = sum.mutable_data_ptr();
  }
  params.out_ND = out.mutable_data_ptr(), params.inverse_rms_N = inverse.mutable_data_ptr<float>();
  params.eps = static_cast<float>(eps);
  check_kernel(Device::forward(params, x), "rms_norm_forward");
  return {out, sum, inverse};
}

template <class Device>
std::tuple<at::Tensor, at::Tensor> rms_norm_backward_on(const at::Tensor& dnorm_in,
                                                        const OptionalTensor& dsum_in, const at::Tensor& x_in,
                                                        const at::Tensor& weight_in,
                                                        const at::Tensor& inverse_in) {
  const at::Tensor x = x_in.contiguous(), weight = weight_in.contiguous(), inverse = inverse_in.contiguous();
  const at::Tensor dnorm = dnorm_in.contiguous(), dsum = dsum_in ? dsum_in->contiguous() : at::Tensor();
  kernels::RmsNormParams params = rms_norm_params(x, weight);
  params.inverse_rms_N = inverse.mutable_data_ptr<float>();
  const at::Tensor dx = at::empty_like(x),
                   dweight = at::empty(weight.sizes(), weight.options().dtype(at::kFloat));
  const kernels::RmsNormGradients gradients{.dout_ND = dnorm.const_data_ptr(),
                                            .dsum_ND = dsum.defined() ? dsum.const_data_ptr() : nullptr,
                                            .dx_ND = dx.mutable_data_ptr(),
                                            .dweight_D = dweight.mutable_data_ptr<float>()};
  check_kernel(Device::backward(params, gradients, x), "rms_norm_backward");
  return {dx, dweight.to(weight.scalar_type())};
}

}  // namespace mmada::ops
