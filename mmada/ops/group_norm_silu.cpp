// SPDX-License-Identifier: MIT
#include "mmada/ops/group_norm_silu.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/library.h>

#include "mmada/ops/dispatch.h"
#include "mmada/ops/group_norm_silu_params.h"

namespace mmada {

namespace {

using at::Tensor;
using Signature = Tensor(const Tensor&, const Tensor&, const Tensor&, int64_t, double);
using OutSignature = Tensor&(const Tensor&, const Tensor&, const Tensor&, int64_t, double, Tensor&);

const auto& typed_op() {
  static const auto op = find_op<Signature>("mmada::group_norm_silu");
  return op;
}

Tensor composite(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups, double eps) {
  return at::silu(at::group_norm(x, groups, weight, bias, eps));
}

Tensor& out_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups, double eps,
                Tensor& out) {
  const ops::GroupNormSiluCall call(x, weight, bias, groups, eps, out);
  const CpuKernelContext context(kernels::group_norm_silu_workspace_size(call.params));
  check_kernel(kernels::group_norm_silu(call.params, context), "group_norm_silu");
  return out;
}

Tensor functional_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups, double eps) {
  if (!group_norm_silu_is_fused(x)) return composite(x, weight, bias, groups, eps);
  const Tensor dense = x.contiguous(at::MemoryFormat::ChannelsLast);
  Tensor out = at::empty_like(dense);
  return out_cpu(dense, weight, bias, groups, eps, out);
}

Tensor functional_meta(const Tensor& x, const Tensor&, const Tensor&, int64_t, double) {
  return at::empty_like(x, x.options(), at::MemoryFormat::ChannelsLast);
}

Tensor& out_meta(const Tensor&, const Tensor&, const Tensor&, int64_t, double, Tensor& out) { return out; }

/// Where a gradient is wanted the op is what its name says, out of differentiable parts.
Tensor functional_autograd(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups,
                           double eps) {
  if (c10::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad() || bias.requires_grad()))
    return composite(x, weight, bias, groups, eps);
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  return typed_op().call(x, weight, bias, groups, eps);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def("group_norm_silu(Tensor x, Tensor weight, Tensor bias, int groups, float eps) -> Tensor");
  m.def(
      "group_norm_silu.out(Tensor x, Tensor weight, Tensor bias, int groups, float eps, *, Tensor(a!) out) "
      "-> "
      "Tensor(a!)");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) {
  m.impl("group_norm_silu", functional_cpu);
  m.impl("group_norm_silu.out", out_cpu);
}
TORCH_LIBRARY_IMPL(mmada, Meta, m) {
  m.impl("group_norm_silu", functional_meta);
  m.impl("group_norm_silu.out", out_meta);
}
TORCH_LIBRARY_IMPL(mmada, Autograd, m) { m.impl("group_norm_silu", functional_autograd); }

Tensor group_norm_silu(const Tensor& x_BCHW, const Tensor& weight_C, const Tensor& bias_C, int64_t groups,
                       double eps) {
  return typed_op().call(x_BCHW, weight_C, bias_C, groups, eps);
}

void group_norm_silu_out(Tensor& out_BCHW, const Tensor& x_BCHW, const Tensor& weight_C, const Tensor& bias_C,
                         int64_t groups, double eps) {
  static const auto op = find_op<OutSignature>("mmada::group_norm_silu", "out");
  op.call(x_BCHW, weight_C, bias_C, groups, eps, out_BCHW);
}

bool group_norm_silu_is_fused(const Tensor& x_BCHW) {
  const auto type = kernel_float_type(x_BCHW.scalar_type());
  return x_BCHW.is_cuda() ? type.has_value() : type && *type != kernels::FloatType::kF16;
}

}  // namespace mmada
