// SPDX-License-Identifier: MIT
#include "mmada/ops/adamw_8bit.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include "mmada/ops/adamw_8bit_params.h"
#include "mmada/ops/dispatch.h"

namespace mmada {
static_assert(kMomentBlock == kernels::kMomentBlock);

namespace {

using at::Tensor;

struct Cpu {
  static kernels::Status run(const kernels::Adamw8bitParams& params, const Tensor&) {
    return kernels::adamw_8bit(params, CpuKernelContext());
  }
};

void adamw_8bit_meta(Tensor& weight, const Tensor& grad, Tensor& exp_avg, Tensor& exp_avg_root,
                     Tensor& exp_avg_scale, Tensor& exp_avg_root_scale, double, double, double, double,
                     double, int64_t step) {
  ops::check_adamw_8bit(weight, grad, exp_avg, exp_avg_root, exp_avg_scale, exp_avg_root_scale, step);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def(
      "adamw_8bit_(Tensor(a!) weight, Tensor grad, Tensor(b!) exp_avg, Tensor(c!) exp_avg_root, Tensor(d!) "
      "exp_avg_scale, Tensor(e!) exp_avg_root_scale, float learning_rate, float beta1, float beta2, float "
      "epsilon, float weight_decay, int step) -> ()");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) { m.impl("adamw_8bit_", ops::adamw_8bit_on<Cpu>); }
TORCH_LIBRARY_IMPL(mmada, Meta, m) { m.impl("adamw_8bit_", adamw_8bit_meta); }

Moments8bit moments_8bit(int64_t elements, at::Device device) {
  const int64_t blocks = (elements + kMomentBlock - 1) / kMomentBlock;
  const auto zeros = [&](int64_t count, at::ScalarType type) {
    return at::zeros({count}, at::TensorOptions(device).dtype(type));
  };
  return {zeros(elements, at::kByte), zeros(elements, at::kByte), zeros(blocks, at::kFloat),
          zeros(blocks, at::kFloat)};
}

void adamw_8bit(const Tensor& weight, const Tensor& grad, const Moments8bit& moments,
                const Adamw8bitOptions& options) {
  static const auto op = find_op<decltype(ops::adamw_8bit_on<Cpu>)>("mmada::adamw_8bit_");
  Tensor of = weight, exp_avg = moments.exp_avg, exp_avg_root = moments.exp_avg_root,
         exp_avg_scale = moments.exp_avg_scale, exp_avg_root_scale = moments.exp_avg_root_scale;
  op.call(of, grad, exp_avg, exp_avg_root, exp_avg_scale, exp_avg_root_scale, options.learning_rate,
          options.beta1, options.beta2, options.epsilon, options.weight_decay, options.step);
}

}  // namespace mmada
