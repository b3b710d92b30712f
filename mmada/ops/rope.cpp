// SPDX-License-Identifier: MIT
#include "mmada/ops/rope.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "mmada/core/check.h"

namespace mmada {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// direction +1 rotates, -1 rotates back (the transpose, which is the gradient).
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, int direction) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor wide = x.to(at::kFloat);
  at::Tensor out = at::empty(wide.sizes(), wide.options());
  const at::Tensor a = wide.narrow(-1, 0, half), b = wide.narrow(-1, half, half);
  at::Tensor out_a = out.narrow(-1, 0, half), out_b = out.narrow(-1, half, half);
  at::mul_out(out_a, a, cos);
  out_a.addcmul_(b, sin, -direction);
  at::mul_out(out_b, b, cos);
  out_b.addcmul_(a, sin, direction);
  return out.to(x.scalar_type());
}

struct Rope : torch::autograd::Function<Rope> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin) {
    context->save_for_backward({cos, sin});
    return rotate(x, cos, sin, 1);
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    return {rotate(grads[0], saved[0], saved[1], -1), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

RopeTable rope_table(int64_t length, int64_t head_dim, double theta, at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const at::Tensor exponents = at::arange(0, head_dim, 2, options).div_(static_cast<double>(head_dim));
  const at::Tensor frequencies = at::pow(at::Scalar(theta), exponents).reciprocal_();
  const at::Tensor angles = at::outer(at::arange(length, options), frequencies);
  return {angles.cos(), angles.sin()};
}

at::Tensor rope(const at::Tensor& x_THD, const RopeTable& table) {
  const int64_t head_dim = x_THD.size(-1);
  MMADA_CHECK(head_dim % 2 == 0 && table.cos.size(-1) * 2 == head_dim && x_THD.size(-3) == table.cos.size(-2),
              "rope: found x ", x_THD.sizes(), " and a table of ", table.cos.sizes(),
              ", expected [..., T, H, D] and [T, D/2]");
  return Rope::apply(x_THD, table.cos.unsqueeze(-2), table.sin.unsqueeze(-2));
}

}  // namespace mmada
