// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "kernels/swiglu/swiglu.h"
#include "mmada/core/check.h"
#include "mmada/ops/cuda/kernel_context.h"

namespace mmada {

namespace {

using at::Tensor;

kernels::SwigluParams params_of(const Tensor& gate, const Tensor& up) {
  const auto type = kernel_float_type(gate.scalar_type());
  MMADA_CHECK(type && up.sizes() == gate.sizes() && up.scalar_type() == gate.scalar_type() &&
                  up.device() == gate.device(),
              "mmada::swiglu: found gate ", gate.scalar_type(), " ", gate.sizes(), " on ", gate.device(),
              " and up ", up.scalar_type(), " ", up.sizes(), " on ", up.device(),
              ", expected two alike of fp32, bf16 or fp16");
  return {.gate = gate.const_data_ptr(), .up = up.const_data_ptr(), .type = *type, .count = gate.numel()};
}

Tensor forward_cuda(const Tensor& gate_in, const Tensor& up_in) {
  const Tensor gate = gate_in.contiguous(), up = up_in.contiguous(), out = at::empty_like(gate);
  kernels::SwigluParams params = params_of(gate, up);
  params.out = out.mutable_data_ptr();
  check_kernel(kernels::swiglu_cuda(params, CudaKernelContext(gate)), "swiglu");
  return out;
}

std::tuple<Tensor, Tensor> backward_cuda(const Tensor& dout_in, const Tensor& gate_in, const Tensor& up_in) {
  const Tensor gate = gate_in.contiguous(), up = up_in.contiguous(), dout = dout_in.contiguous();
  const Tensor dgate = at::empty_like(gate), dup = at::empty_like(up);
  const kernels::SwigluGradients gradients{
      .dout = dout.const_data_ptr(), .dgate = dgate.mutable_data_ptr(), .dup = dup.mutable_data_ptr()};
  check_kernel(kernels::swiglu_backward_cuda(params_of(gate, up), gradients, CudaKernelContext(gate)),
               "swiglu_backward");
  return {dgate, dup};
}

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) {
  m.impl("swiglu", forward_cuda);
  m.impl("swiglu_backward", backward_cuda);
}

}  // namespace mmada
