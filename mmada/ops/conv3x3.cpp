// SPDX-License-Identifier: MIT
#include "mmada/ops/conv3x3.h"
#include "mmada/ops/dispatch.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include "kernels/conv3x3/conv3x3.h"
#include "mmada/core/check.h"
#include "mmada/ops/kernel_context.h"

namespace mmada {

namespace {

using at::Tensor;
using Signature = Tensor(const Tensor&, const Tensor&, const Tensor&);
using OutSignature = Tensor&(const Tensor&, const Tensor&, const Tensor&, Tensor&);
using AddSignature = Tensor&(Tensor&, const Tensor&, const Tensor&, const Tensor&);

void check(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& out) {
  const auto layout = at::MemoryFormat::ChannelsLast;
  MMADA_CHECK(x.dim() == 4 && x.scalar_type() == at::kFloat && x.is_contiguous(layout),
              "mmada::conv3x3: x: found shape ", x.sizes(), " of ", x.scalar_type(),
              ", expected [B, C, H, W] of fp32, channels-last");
  MMADA_CHECK(weight.dim() == 4 && weight.size(1) == x.size(1) && weight.size(2) == 3 &&
                  weight.size(3) == 3 && weight.scalar_type() == at::kFloat,
              "mmada::conv3x3: weight: found shape ", weight.sizes(), " of ", weight.scalar_type(),
              ", expected [O, ", x.size(1), ", 3, 3] of fp32");
  MMADA_CHECK(bias.dim() == 1 && bias.size(0) == weight.size(0) && bias.scalar_type() == at::kFloat,
              "mmada::conv3x3: bias: found shape ", bias.sizes(), " of ", bias.scalar_type(), ", expected [",
              weight.size(0), "] of fp32");
  const std::array<int64_t, 4> shape = {x.size(0), weight.size(0), x.size(2), x.size(3)};
  MMADA_CHECK(
      out.sizes() == at::IntArrayRef(shape) && out.scalar_type() == at::kFloat && out.is_contiguous(layout),
      "mmada::conv3x3: out: found shape ", out.sizes(), " of ", out.scalar_type(), ", expected ",
      at::IntArrayRef(shape), " of fp32, channels-last");
}

void run(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& out, bool add) {
  check(x, weight, bias, out);
  const Tensor dense_weight = weight.contiguous(), dense_bias = bias.contiguous();
  const kernels::Conv3x3Params params = {.x = x.const_data_ptr<float>(),
                                         .weight_OCKK = dense_weight.const_data_ptr<float>(),
                                         .bias_O = dense_bias.const_data_ptr<float>(),
                                         .y = out.mutable_data_ptr<float>(),
                                         .add = add,
                                         .batch = x.size(0),
                                         .height = x.size(2),
                                         .width = x.size(3),
                                         .in_channels = x.size(1),
                                         .out_channels = weight.size(0)};
  const CpuKernelContext context(kernels::conv3x3_workspace_size(params, at::get_num_threads()));
  check_kernel(kernels::conv3x3(params, context), "conv3x3");
}

Tensor& out_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& out) {
  run(x, weight, bias, out, false);
  return out;
}

Tensor& add_cpu(Tensor& sum, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  run(x, weight, bias, sum, true);
  return sum;
}

Tensor composite(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return at::conv2d(x, weight, bias, 1, 1);
}

Tensor functional_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (!conv3x3_has_kernel(x, weight)) return composite(x, weight, bias);
  Tensor out = at::empty({x.size(0), weight.size(0), x.size(2), x.size(3)}, x.options(),
                         at::MemoryFormat::ChannelsLast);
  return out_cpu(x.contiguous(at::MemoryFormat::ChannelsLast), weight, bias, out);
}

Tensor functional_meta(const Tensor& x, const Tensor& weight, const Tensor&) {
  return at::empty({x.size(0), weight.size(0), x.size(2), x.size(3)}, x.options(),
                   at::MemoryFormat::ChannelsLast);
}

Tensor& out_meta(const Tensor&, const Tensor&, const Tensor&, Tensor& out) { return out; }
Tensor& add_meta(Tensor& sum, const Tensor&, const Tensor&, const Tensor&) { return sum; }

/// Where a gradient is wanted the op is the convolution that ATen differentiates.
Tensor functional_autograd(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (c10::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad() || bias.requires_grad()))
    return composite(x, weight, bias);
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  return conv3x3(x, weight, bias);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def("conv3x3(Tensor x, Tensor weight, Tensor bias) -> Tensor");
  m.def("conv3x3.out(Tensor x, Tensor weight, Tensor bias, *, Tensor(a!) out) -> Tensor(a!)");
  m.def("conv3x3_add_(Tensor(a!) sum, Tensor x, Tensor weight, Tensor bias) -> Tensor(a!)");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) {
  m.impl("conv3x3", functional_cpu);
  m.impl("conv3x3.out", out_cpu);
  m.impl("conv3x3_add_", add_cpu);
}
TORCH_LIBRARY_IMPL(mmada, CUDA, m) { m.impl("conv3x3", composite); }
TORCH_LIBRARY_IMPL(mmada, Meta, m) {
  m.impl("conv3x3", functional_meta);
  m.impl("conv3x3.out", out_meta);
  m.impl("conv3x3_add_", add_meta);
}
TORCH_LIBRARY_IMPL(mmada, Autograd, m) { m.impl("conv3x3", functional_autograd); }

Tensor conv3x3(const Tensor& x_BCHW, const Tensor& weight_OCKK, const Tensor& bias_O) {
  static const auto op = find_op<Signature>("mmada::conv3x3");
  return op.call(x_BCHW, weight_OCKK, bias_O);
}

void conv3x3_out(Tensor& out_BOHW, const Tensor& x_BCHW, const Tensor& weight_OCKK, const Tensor& bias_O) {
  static const auto op = find_op<OutSignature>("mmada::conv3x3", "out");
  op.call(x_BCHW, weight_OCKK, bias_O, out_BOHW);
}

void conv3x3_add(Tensor& sum_BOHW, const Tensor& x_BCHW, const Tensor& weight_OCKK, const Tensor& bias_O) {
  static const auto op = find_op<AddSignature>("mmada::conv3x3_add_");
  op.call(sum_BOHW, x_BCHW, weight_OCKK, bias_O);
}

bool conv3x3_has_kernel(const Tensor& x_BCHW, const Tensor& weight_OCKK) {
  constexpr int64_t kMultiple = 16, kFewest = 32;
  const auto takes = [](int64_t channels) { return channels % kMultiple == 0 && channels >= kFewest; };
  return x_BCHW.is_cpu() && x_BCHW.scalar_type() == at::kFloat && weight_OCKK.dim() == 4 &&
         weight_OCKK.size(2) == 3 && weight_OCKK.size(3) == 3 && takes(weight_OCKK.size(0)) &&
         takes(weight_OCKK.size(1));
}

}  // namespace mmada
