// SPDX-License-Identifier: MIT
#include "mmada/ops/swiglu.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "mmada/core/check.h"
#include "mmada/ops/dispatch.h"

namespace mmada {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using Pair = std::tuple<Tensor, Tensor>;

Tensor forward_cpu(const Tensor& gate, const Tensor& up) {
  MMADA_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(),
              "mmada::swiglu: found gate ", gate.scalar_type(), " ", gate.sizes(), " and up ",
              up.scalar_type(), " ", up.sizes(), ", expected equal shapes and types");
  return at::silu(gate).mul_(up);
}

Pair backward_cpu(const Tensor& dout, const Tensor& gate, const Tensor& up) {
  Tensor dup = at::silu(gate).mul_(dout);
  Tensor dgate = at::mul(dout, up);
  at::silu_backward_out(dgate, dgate, gate);
  return {dgate, dup};
}

Tensor forward_meta(const Tensor& gate, const Tensor&) { return at::empty_like(gate); }
Pair backward_meta(const Tensor&, const Tensor& gate, const Tensor& up) {
  return {at::empty_like(gate), at::empty_like(up)};
}

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static Tensor forward(AutogradContext* context, const Tensor& gate, const Tensor& up) {
    context->save_for_backward({gate, up});
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    return swiglu(gate, up);
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    static const auto op =
        find_op<Pair(const Tensor&, const Tensor&, const Tensor&)>("mmada::swiglu_backward");
    const auto saved = context->get_saved_variables();
    const auto [dgate, dup] = op.call(grads[0], saved[0], saved[1]);
    return {dgate, dup};
  }
};

Tensor forward_autograd(const Tensor& gate, const Tensor& up) { return SwiGlu::apply(gate, up); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def("swiglu(Tensor gate, Tensor up) -> Tensor");
  m.def("swiglu_backward(Tensor dout, Tensor gate, Tensor up) -> (Tensor dgate, Tensor dup)");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) {
  m.impl("swiglu", forward_cpu);
  m.impl("swiglu_backward", backward_cpu);
}
TORCH_LIBRARY_IMPL(mmada, Meta, m) {
  m.impl("swiglu", forward_meta);
  m.impl("swiglu_backward", backward_meta);
}
TORCH_LIBRARY_IMPL(mmada, Autograd, m) { m.impl("swiglu", forward_autograd); }

Tensor swiglu(const Tensor& gate, const Tensor& up) {
  static const auto op = find_op<Tensor(const Tensor&, const Tensor&)>("mmada::swiglu");
  return op.call(gate, up);
}

}  // namespace mmada
