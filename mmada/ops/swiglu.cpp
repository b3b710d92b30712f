// SPDX-License-Identifier: MIT
#include "mmada/ops/swiglu.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "mmada/ops/dispatch.h"
#include "mmada/ops/swiglu_params.h"

namespace mmada {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using Pair = std::tuple<Tensor, Tensor>;

// On a CPU the kernel is faster than ATen's operators in fp32 and bf16, and rounds once in fp16:
// benchmarks/results/2026-11-28-cpu-ops.md.
struct Cpu {
  static kernels::Status forward(const kernels::SwigluParams& params, const Tensor&) {
    return kernels::swiglu(params, CpuKernelContext());
  }
  static kernels::Status backward(const kernels::SwigluParams& params,
                                  const kernels::SwigluGradients& gradients, const Tensor&) {
    return kernels::swiglu_backward(params, gradients, CpuKernelContext());
  }
};

// No kernel takes fp64.
Tensor forward_cpu(const Tensor& gate, const Tensor& up) {
  if (gate.scalar_type() != at::kDouble) return ops::swiglu_on<Cpu>(gate, up);
  ops::check_swiglu(gate, up);
  return at::silu(gate).mul_(up);
}

Pair backward_cpu(const Tensor& dout, const Tensor& gate, const Tensor& up) {
  if (gate.scalar_type() != at::kDouble) return ops::swiglu_backward_on<Cpu>(dout, gate, up);
  return {at::silu_backward(dout * up, gate), at::silu(gate).mul_(dout)};
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
