// SPDX-License-Identifier: MIT
#include "mmada/ops/swiglu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "mmada/core/check.h"

namespace mmada {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    context->save_for_backward({gate, up});
    return at::silu(gate).mul_(up);
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    at::Tensor dup = at::silu(gate).mul_(grads[0]);
    at::Tensor dgate = at::mul(grads[0], up);
    at::silu_backward_out(dgate, dgate, gate);
    return {dgate, dup};
  }
};

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  MMADA_CHECK(gate.sizes() == up.sizes(), "swiglu: found gate ", gate.sizes(), " and up ", up.sizes(),
              ", expected equal shapes");
  return SwiGlu::apply(gate, up);
}

}  // namespace mmada
