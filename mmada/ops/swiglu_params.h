// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include "kernels/swiglu/swiglu.h"
#include "mmada/core/check.h"
#include "mmada/ops/kernel_context.h"

namespace mmada::ops {

/// What every implementation of mmada::swiglu refuses.
inline void check_swiglu(const at::Tensor& gate, const at::Tensor& up) {
  MMADA_CHECK(
      gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type() && gate.device() == up.device(),
      "mmada::swiglu: found gate ", gate.scalar_type(), " ", gate.sizes(), " on ", gate.device(), " and up ",
      up.scalar_type(), " ", up.sizes(), " on ", up.device(),
      ", expected equal shapes and types on one device");
}

inline kernels::SwigluParams swiglu_params(const at::Tensor& gate, const at::Tensor& up) {
  check_swiglu(gate, up);
  const auto type = kernel_float_type(gate.scalar_type());
  MMADA_CHECK(type, "mmada::swiglu: found ", gate.scalar_type(), ", expected fp32, bf16 or fp16");
  return {.gate = gate.const_data_ptr(), .up = up.const_data_ptr(), .type = *type, .count = gate.numel()};
}

/// The op on a device whose kernels Device::forward and Device::backward call.
template <class Device>
at::Tensor swiglu_on(const at::Tensor& gate_in, const at::Tensor& up_in) {
  const at::Tensor gate = gate_in.contiguous(), up = up_in.contiguous(), out = at::empty_like(gate);
  kernels::SwigluParams params = swiglu_params(gate, up);
  params.out = out.mutable_data_ptr();
  check_kernel(Device::forward(params, gate), "swiglu");
  return out;
}

template <class Device>
std::tuple<at::Tensor, at::Tensor> swiglu_backward_on(const at::Tensor& dout_in, const at::Tensor& gate_in,
                                                      const at::Tensor& up_in) {
  const at::Tensor gate = gate_in.contiguous(), up = up_in.contiguous(), dout = dout_in.contiguous();
  MMADA_CHECK(dout.sizes() == gate.sizes() && dout.scalar_type() == gate.scalar_type(),
              "mmada::swiglu_backward: dout: found ", dout.scalar_type(), " ", dout.sizes(),
              ", expected what gate is: ", gate.scalar_type(), " ", gate.sizes());
  const at::Tensor dgate = at::empty_like(gate), dup = at::empty_like(up);
  const kernels::SwigluGradients gradients{
      .dout = dout.const_data_ptr(), .dgate = dgate.mutable_data_ptr(), .dup = dup.mutable_data_ptr()};
  check_kernel(Device::backward(swiglu_params(gate, up), gradients, gate), "swiglu_backward");
  return {dgate, dup};
}

}  // namespace mmada::ops
