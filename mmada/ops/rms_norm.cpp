// SPDX-License-Identifier: MIT
#include "mmada/ops/rms_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "mmada/core/check.h"

namespace mmada {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// 1 / root mean square of each row, fp32 [..., 1]: one reduction over x and no fp32 copy of it.
at::Tensor inverse_rms(const at::Tensor& x, double eps) {
  at::Tensor norm = at::linalg_vector_norm(x, 2, {-1}, true, at::kFloat);
  return norm.square_().div_(static_cast<double>(x.size(-1))).add_(eps).rsqrt_();
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double eps) {
    const at::Tensor inverse = inverse_rms(x, eps);
    context->save_for_backward({x, weight, inverse});
    return at::mul(x, inverse).to(x.scalar_type()).mul_(weight);
  }

  // With n = x * inverse and g = dy * weight: dx = inverse * (g - n * mean(g * n)), dweight = sum over rows
  // of dy * n.
  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    const int64_t width = x.size(-1);
    const at::Tensor normed = at::mul(x, inverse).reshape({-1, width});
    const at::Tensor dy = grads[0].reshape({-1, width});
    at::Tensor product = at::mul(dy, normed);
    const at::Tensor dweight = product.sum(0).to(weight.scalar_type());
    const at::Tensor inner = at::mv(product, weight.to(product.scalar_type())).div_(width).unsqueeze_(1);
    at::Tensor dx = product.copy_(dy).mul_(weight).addcmul_(normed, inner, -1).mul_(inverse.reshape({-1, 1}));
    return {dx.to(x.scalar_type()).view(x.sizes()), dweight, at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  MMADA_CHECK(x.dim() >= 1 && weight.dim() == 1 && x.size(-1) == weight.size(0), "rms_norm: found x ",
              x.sizes(), " and weight ", weight.sizes(), ", expected [..., D] and [D]");
  return RmsNorm::apply(x, weight, eps);
}

}  // namespace mmada
