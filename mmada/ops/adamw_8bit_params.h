// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include "kernels/adamw_8bit/adamw_8bit.h"
#include "mmada/core/check.h"
#include "mmada/ops/kernel_context.h"

namespace mmada::ops {

using Tensor = at::Tensor;

/// What every implementation of mmada::adamw_8bit_ refuses.
inline void check_adamw_8bit(const Tensor& weight, const Tensor& grad, const Tensor& exp_avg,
                             const Tensor& exp_avg_root, const Tensor& exp_avg_scale,
                             const Tensor& exp_avg_root_scale, int64_t step) {
  const int64_t count = weight.numel();
  const auto check = [&](const char* name, const Tensor& x, at::ScalarType type, int64_t elements) {
    MMADA_CHECK(x.scalar_type() == type && x.numel() == elements && x.is_contiguous() &&
                    x.device() == weight.device(),
                "mmada::adamw_8bit_: ", name, ": found ", x.scalar_type(), " ", x.sizes(), " on ", x.device(),
                x.is_contiguous() ? "" : ", not dense", ", expected ", elements, " elements of ", type,
                ", dense, on ", weight.device());
  };
  check("weight", weight, at::kFloat, count);
  check("grad", grad, at::kFloat, count);
  check("exp_avg", exp_avg, at::kByte, count);
  check("exp_avg_root", exp_avg_root, at::kByte, count);
  const int64_t blocks = (count + kernels::kMomentBlock - 1) / kernels::kMomentBlock;
  check("exp_avg_scale", exp_avg_scale, at::kFloat, blocks);
  check("exp_avg_root_scale", exp_avg_root_scale, at::kFloat, blocks);
  MMADA_CHECK(step >= 1, "mmada::adamw_8bit_: found step ", step, ", expected at least 1");
}

/// The op on a device whose kernel Device::run calls.
template <class Device>
void adamw_8bit_on(Tensor& weight, const Tensor& grad, Tensor& exp_avg, Tensor& exp_avg_root,
                   Tensor& exp_avg_scale, Tensor& exp_avg_root_scale, double learning_rate, double beta1,
                   double beta2, double epsilon, double weight_decay, int64_t step) {
  check_adamw_8bit(weight, grad, exp_avg, exp_avg_root, exp_avg_scale, exp_avg_root_scale, step);
  const kernels::Adamw8bitParams params{.weight = weight.mutable_data_ptr<float>(),
                                        .grad = grad.const_data_ptr<float>(),
                                        .exp_avg = exp_avg.mutable_data_ptr<uint8_t>(),
                                        .exp_avg_root = exp_avg_root.mutable_data_ptr<uint8_t>(),
                                        .exp_avg_scale = exp_avg_scale.mutable_data_ptr<float>(),
                                        .exp_avg_root_scale = exp_avg_root_scale.mutable_data_ptr<float>(),
                                        .count = weight.numel(),
                                        .learning_rate = learning_rate,
                                        .beta1 = beta1,
                                        .beta2 = beta2,
                                        .epsilon = epsilon,
                                        .weight_decay = weight_decay,
                                        .step = step};
  check_kernel(Device::run(params, weight), "adamw_8bit_");
}

}  // namespace mmada::ops
