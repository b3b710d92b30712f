// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "kernels/rms_norm/rms_norm.h"
#include "mmada/core/check.h"
#include "mmada/ops/cuda/kernel_context.h"

namespace mmada {

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

kernels::RmsNormParams params_of(const Tensor& x, const Tensor& weight) {
  const auto type = kernel_float_type(x.scalar_type());
  MMADA_CHECK(type && weight.scalar_type() == x.scalar_type(), "mmada::rms_norm: found x ", x.scalar_type(),
              " and weight ", weight.scalar_type(), ", expected both fp32, bf16 or fp16");
  MMADA_CHECK(
      x.dim() >= 1 && weight.dim() == 1 && x.size(-1) == weight.size(0) && weight.device() == x.device(),
      "mmada::rms_norm: found x ", x.sizes(), " on ", x.device(), " and weight ", weight.sizes(), " on ",
      weight.device(), ", expected [..., D] and [D] on one device");
  const int64_t width = x.size(-1);
  return {.x_ND = x.const_data_ptr(),
          .weight_D = weight.const_data_ptr(),
          .type = *type,
          .rows = width > 0 ? x.numel() / width : 0,
          .width = width};
}

std::tuple<Tensor, Tensor, Tensor> forward_cuda(const Tensor& x_in, const OptionalTensor& residual_in,
                                                const Tensor& weight_in, double eps) {
  const Tensor x = x_in.contiguous(), weight = weight_in.contiguous();
  kernels::RmsNormParams params = params_of(x, weight);
  const CudaKernelContext context(x);
  auto shape = x.sizes().vec();
  shape.back() = 1;
  const Tensor out = at::empty_like(x), inverse = at::empty(shape, x.options().dtype(at::kFloat));
  Tensor residual, sum = at::empty({0}, x.options());
  if (residual_in) {
    MMADA_CHECK(residual_in->sizes() == x.sizes() && residual_in->scalar_type() == x.scalar_type() &&
                    residual_in->device() == x.device(),
                "mmada::add_rms_norm: residual: found ", residual_in->scalar_type(), " ",
                residual_in->sizes(), " on ", residual_in->device(),
                ", expected what x is: ", x.scalar_type(), " ", x.sizes(), " on ", x.device());
    residual = residual_in->contiguous(), sum = at::empty_like(x);
    params.residual_ND = residual.const_data_ptr(), params.sum_ND = sum.mutable_data_ptr();
  }
  params.out_ND = out.mutable_data_ptr(), params.inverse_rms_N = inverse.mutable_data_ptr<float>();
  params.eps = static_cast<float>(eps);
  check_kernel(kernels::rms_norm_cuda(params, context), "rms_norm_forward");
  return {out, sum, inverse};
}

std::tuple<Tensor, Tensor> backward_cuda(const Tensor& dnorm_in, const OptionalTensor& dsum_in,
                                         const Tensor& x_in, const Tensor& weight_in,
                                         const Tensor& inverse_in) {
  const Tensor x = x_in.contiguous(), weight = weight_in.contiguous(), inverse = inverse_in.contiguous();
  const Tensor dnorm = dnorm_in.contiguous(), dsum = dsum_in ? dsum_in->contiguous() : Tensor();
  kernels::RmsNormParams params = params_of(x, weight);
  params.inverse_rms_N = inverse.mutable_data_ptr<float>();
  const CudaKernelContext context(x, kernels::rms_norm_backward_workspace_size(params));
  const Tensor dx = at::empty_like(x),
               dweight = at::empty(weight.sizes(), weight.options().dtype(at::kFloat));
  const kernels::RmsNormGradients gradients{.dout_ND = dnorm.const_data_ptr(),
                                            .dsum_ND = dsum.defined() ? dsum.const_data_ptr() : nullptr,
                                            .dx_ND = dx.mutable_data_ptr(),
                                            .dweight_D = dweight.mutable_data_ptr<float>()};
  check_kernel(kernels::rms_norm_backward_cuda(params, gradients, context), "rms_norm_backward");
  return {dx, dweight.to(weight.scalar_type())};
}

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) {
  m.impl("rms_norm_forward", forward_cuda);
  m.impl("rms_norm_backward", backward_cuda);
}

}  // namespace mmada
