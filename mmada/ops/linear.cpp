// SPDX-License-Identifier: MIT
#include "mmada/ops/linear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include "mmada/core/check.h"

namespace mmada {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

using Pointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                             std::string_view, c10::List<std::optional<at::Scalar>>,
                             std::optional<std::string_view>);

// oneDNN's inner product behind a torch operator; absent where libtorch was built without oneDNN.
std::optional<c10::TypedOperatorHandle<Pointwise>> find_pointwise() {
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found) return std::nullopt;
  return found->typed<Pointwise>();
}

struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
    context->save_for_backward({x, weight});
    return product_transposed(x.flatten(0, -2), weight).view(output_shape(x, weight));
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor dy = grads[0].flatten(0, -2);
    tensor_list result(2);
    if (context->needs_input_grad(0)) result[0] = product_transposed(dy, weight.t()).view(x.sizes());
    // x^T dy, transposed back: the larger operand of the two orders is the one oneDNN copies
    if (context->needs_input_grad(1)) result[1] = product_transposed(x.flatten(0, -2).t(), dy.t()).t();
    return result;
  }

  static std::vector<int64_t> output_shape(const at::Tensor& x, const at::Tensor& weight) {
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return shape;
  }
};

}  // namespace

at::Tensor product_transposed(const at::Tensor& a_MK, const at::Tensor& b_NK) {
  static const auto pointwise = find_pointwise();
  const bool onednn = pointwise && a_MK.is_cpu() && a_MK.scalar_type() == at::kFloat && a_MK.numel() > 0;
  if (!onednn) return at::mm(a_MK, b_NK.t());
  const at::AutoDispatchBelowAutograd below;  // the operator has no gradient of its own
  return pointwise->call(a_MK, b_NK, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
}

at::Tensor project(const at::Tensor& x, const at::Tensor& weight) {
  MMADA_CHECK(x.dim() >= 2 && weight.dim() == 2 && x.size(-1) == weight.size(1) &&
                  x.scalar_type() == weight.scalar_type(),
              "project: found x ", x.sizes(), " of ", x.scalar_type(), " and weight ", weight.sizes(), " of ",
              weight.scalar_type(), ", expected [..., I] and [O, I] of one type");
  return Linear::apply(x, weight);
}

}  // namespace mmada
