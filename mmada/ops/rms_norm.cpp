// SPDX-License-Identifier: MIT
#include "mmada/ops/rms_norm.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "mmada/ops/dispatch.h"
#include "mmada/ops/rms_norm_params.h"

namespace mmada {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using OptionalTensor = std::optional<Tensor>;
using Three = std::tuple<Tensor, Tensor, Tensor>;
using ForwardSignature = Three(const Tensor&, const OptionalTensor&, const Tensor&, double);
using BackwardSignature = std::tuple<Tensor, Tensor>(const Tensor&, const OptionalTensor&, const Tensor&,
                                                     const Tensor&, const Tensor&);

// On a CPU the kernel is faster than ATen's operators in fp32 and bf16, and in fp16 but for the forward pass
// of narrow rows (benchmarks/results/2026-11-28-cpu-ops.md); fp16 takes it all the same: one arithmetic for
// every type.
struct Cpu {
  static kernels::Status forward(const kernels::RmsNormParams& params, const Tensor&) {
    return kernels::rms_norm(params, CpuKernelContext());
  }
  static kernels::Status backward(const kernels::RmsNormParams& params,
                                  const kernels::RmsNormGradients& gradients, const Tensor&) {
    const CpuKernelContext context(kernels::rms_norm_backward_cpu_workspace_size(params));
    return kernels::rms_norm_backward(params, gradients, context);
  }
};

// No kernel takes fp64; its inverse is fp64 too.
Three forward_cpu(const Tensor& x, const OptionalTensor& residual, const Tensor& weight, double eps) {
  if (x.scalar_type() != at::kDouble) return ops::rms_norm_forward_on<Cpu>(x, residual, weight, eps);
  ops::check_rms_norm(x, residual, weight);
  const Tensor sum = residual ? x + *residual : x;
  const Tensor inverse = sum.square().mean(-1, true).add_(eps).rsqrt_();
  return {sum * inverse * weight, residual ? sum : at::empty({0}, x.options()), inverse};
}

// With n = x * inverse and g = dy * weight: dx = inverse * (g - n * mean(g * n)), dweight = sum over rows of
// dy * n.
std::tuple<Tensor, Tensor> backward_cpu(const Tensor& dout, const OptionalTensor& dsum, const Tensor& x,
                                        const Tensor& weight, const Tensor& inverse) {
  if (x.scalar_type() != at::kDouble) return ops::rms_norm_backward_on<Cpu>(dout, dsum, x, weight, inverse);
  const Tensor normed = x * inverse, g = dout * weight;
  const Tensor dx = (g - normed * (g * normed).mean(-1, true)) * inverse;
  return {dsum ? dx + *dsum : dx, (dout * normed).reshape({-1, x.size(-1)}).sum(0)};
}

Three forward_meta(const Tensor& x, const OptionalTensor& residual, const Tensor&, double) {
  auto shape = x.sym_sizes().vec();
  shape.back() = 1;
  return {
      at::empty_symint(x.sym_sizes(), x.options()),
      residual ? at::empty_symint(x.sym_sizes(), x.options()) : at::empty({0}, x.options()),
      at::empty_symint(shape, x.options().dtype(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat))};
}

std::tuple<Tensor, Tensor> backward_meta(const Tensor&, const OptionalTensor&, const Tensor& x,
                                         const Tensor& weight, const Tensor&) {
  return {at::empty_symint(x.sym_sizes(), x.options()),
          at::empty_symint(weight.sym_sizes(), weight.options())};
}

Three forward(const Tensor& x, const OptionalTensor& residual, const Tensor& weight, double eps) {
  static const auto op = find_op<ForwardSignature>("mmada::rms_norm_forward");
  return op.call(x, residual, weight, eps);
}

std::tuple<Tensor, Tensor> backward(const Tensor& dout, const OptionalTensor& dsum, const Tensor& x,
                                    const Tensor& weight, const Tensor& inverse) {
  static const auto op = find_op<BackwardSignature>("mmada::rms_norm_backward");
  return op.call(dout, dsum, x, weight, inverse);
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, double eps) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [out, sum, inverse] = mmada::forward(x, {}, weight, eps);
    context->save_for_backward({x, weight, inverse});
    return out;
  }
  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const auto [dx, dweight] = mmada::backward(grads[0], {}, saved[0], saved[1], saved[2]);
    return {dx, dweight, Tensor()};
  }
};

struct AddRmsNorm : torch::autograd::Function<AddRmsNorm> {
  static tensor_list forward(AutogradContext* context, const Tensor& x, const Tensor& residual,
                             const Tensor& weight, double eps) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [out, sum, inverse] = mmada::forward(x, residual, weight, eps);
    context->save_for_backward({sum, weight, inverse});
    return {sum, out};
  }
  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const auto [dx, dweight] = mmada::backward(grads[1], grads[0], saved[0], saved[1], saved[2]);
    return {dx, dx, dweight, Tensor()};
  }
};

Tensor norm_autograd(const Tensor& x, const Tensor& weight, double eps) {
  return RmsNorm::apply(x, weight, eps);
}
Tensor norm_kernel(const Tensor& x, const Tensor& weight, double eps) {
  return std::get<0>(forward(x, {}, weight, eps));
}

std::tuple<Tensor, Tensor> add_norm_autograd(const Tensor& x, const Tensor& residual, const Tensor& weight,
                                             double eps) {
  const tensor_list both = AddRmsNorm::apply(x, residual, weight, eps);
  return {both[0], both[1]};
}
std::tuple<Tensor, Tensor> add_norm_kernel(const Tensor& x, const Tensor& residual, const Tensor& weight,
                                           double eps) {
  const auto [out, sum, inverse] = forward(x, residual, weight, eps);
  return {sum, out};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor");
  m.def("add_rms_norm(Tensor x, Tensor residual, Tensor weight, float eps) -> (Tensor sum, Tensor norm)");
  m.def(
      "rms_norm_forward(Tensor x, Tensor? residual, Tensor weight, float eps) -> (Tensor norm, Tensor sum, "
      "Tensor "
      "inverse_rms)");
  m.def(
      "rms_norm_backward(Tensor dnorm, Tensor? dsum, Tensor x, Tensor weight, Tensor inverse_rms) -> (Tensor "
      "dx, Tensor "
      "dweight)");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) {
  m.impl("rms_norm_forward", forward_cpu);
  m.impl("rms_norm_backward", backward_cpu);
}
TORCH_LIBRARY_IMPL(mmada, Meta, m) {
  m.impl("rms_norm_forward", forward_meta);
  m.impl("rms_norm_backward", backward_meta);
}
TORCH_LIBRARY_IMPL(mmada, CompositeExplicitAutograd, m) {
  m.impl("rms_norm", norm_kernel);
  m.impl("add_rms_norm", add_norm_kernel);
}
TORCH_LIBRARY_IMPL(mmada, Autograd, m) {
  m.impl("rms_norm", norm_autograd);
  m.impl("add_rms_norm", add_norm_autograd);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  static const auto op = find_op<Tensor(const Tensor&, const Tensor&, double)>("mmada::rms_norm");
  return op.call(x, weight, eps);
}

AddedNorm add_rms_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, double eps) {
  using Signature = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, double);
  static const auto op = find_op<Signature>("mmada::add_rms_norm");
  auto [sum, norm] = op.call(x, residual, weight, eps);
  return {sum, norm};
}

}  // namespace mmada
