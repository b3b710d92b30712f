// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include "kernels/group_norm_silu/group_norm_silu.h"
#include "mmada/core/check.h"
#include "mmada/ops/kernel_context.h"

namespace mmada::ops {

/// The kernel's operands out of checked tensors: what the CPU and the CUDA implementation of the op share.
struct GroupNormSiluCall {
  GroupNormSiluCall(const at::Tensor& x_BCHW, const at::Tensor& weight_C, const at::Tensor& bias_C,
                    int64_t groups, double eps, const at::Tensor& out_BCHW)
      : weight(weight_C.to(at::kFloat).contiguous()), bias(bias_C.to(at::kFloat).contiguous()) {
    const auto layout = at::MemoryFormat::ChannelsLast;
    MMADA_CHECK(x_BCHW.dim() == 4 && groups > 0 && x_BCHW.size(1) > 0 && x_BCHW.size(1) % groups == 0,
                "mmada::group_norm_silu: x: found shape ", x_BCHW.sizes(),
                ", expected [B, C, H, W] with C in ", groups, " equal groups");
    for (const at::Tensor& vector : {weight, bias})
      MMADA_CHECK(vector.dim() == 1 && vector.size(0) == x_BCHW.size(1) && vector.device() == x_BCHW.device(),
                  "mmada::group_norm_silu: weight or bias: found shape ", vector.sizes(), " on ",
                  vector.device(), ", expected [", x_BCHW.size(1), "] on ", x_BCHW.device());
    MMADA_CHECK(out_BCHW.sizes() == x_BCHW.sizes() && out_BCHW.scalar_type() == x_BCHW.scalar_type() &&
                    x_BCHW.is_contiguous(layout) && out_BCHW.is_contiguous(layout),
                "mmada::group_norm_silu: out: found shape ", out_BCHW.sizes(), ", expected x's shape ",
                x_BCHW.sizes(), " and type, both channels-last");
    const auto type = kernel_float_type(x_BCHW.scalar_type());
    MMADA_CHECK(type, "mmada::group_norm_silu: found elements of type ", x_BCHW.scalar_type(),
                ", expected fp32, bf16 or fp16");
    params = {.x = x_BCHW.const_data_ptr(),
              .y = out_BCHW.mutable_data_ptr(),
              .weight_C = weight.const_data_ptr<float>(),
              .bias_C = bias.const_data_ptr<float>(),
              .type = *type,
              .batch = x_BCHW.size(0),
              .positions = x_BCHW.size(2) * x_BCHW.size(3),
              .channels = x_BCHW.size(1),
              .groups = groups,
              .eps = static_cast<float>(eps)};
  }

  at::Tensor weight, bias;
  kernels::GroupNormSiluParams params;
};

}  // namespace mmada::ops
