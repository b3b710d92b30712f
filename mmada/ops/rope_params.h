// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include "kernels/rope/rope.h"
#include "mmada/core/check.h"
#include "mmada/ops/kernel_context.h"

namespace mmada::ops {

/// What every implementation of mmada::rope refuses.
inline void check_rope(const at::Tensor& q, const std::optional<at::Tensor>& k, const at::Tensor& cos,
                       const at::Tensor& sin, const std::optional<at::Tensor>& positions) {
  const char* op = "mmada::rope";
  MMADA_CHECK(q.dim() >= 3 && q.size(-1) >= 2 && q.size(-1) % 2 == 0, op, ": q: found shape ", q.sizes(),
              ", expected [..., T, H, D] with D even");
  MMADA_CHECK(cos.dim() == 2 && cos.size(1) * 2 == q.size(-1) && sin.sizes() == cos.sizes() &&
                  cos.scalar_type() == at::kFloat && sin.scalar_type() == at::kFloat &&
                  cos.device() == q.device(),
              op, ": cos, sin: found ", cos.scalar_type(), " ", cos.sizes(), " and ", sin.sizes(), " on ",
              cos.device(), ", expected fp32 [positions, ", q.size(-1) / 2, "] on ", q.device());
  if (k) {
    MMADA_CHECK(k->dim() == q.dim() && k->size(-1) == q.size(-1) && k->scalar_type() == q.scalar_type() &&
                    k->device() == q.device() &&
                    k->sizes().slice(0, k->dim() - 2) == q.sizes().slice(0, q.dim() - 2),
                op, ": k: found ", k->scalar_type(), " ", k->sizes(), " on ", k->device(),
                ", expected the tokens of q, ", q.scalar_type(), " ", q.sizes(), " on ", q.device());
  }
  if (!positions) {
    MMADA_CHECK(q.size(-3) == cos.size(0), op, ": found ", q.size(-3), " tokens and a table of ", cos.size(0),
                " positions, expected as many (or positions)");
    return;
  }
  const int64_t tokens = q.numel() / std::max<int64_t>(1, q.size(-1) * q.size(-2));
  MMADA_CHECK(positions->numel() == tokens && positions->scalar_type() == at::kInt &&
                  positions->device() == q.device(),
              op, ": positions: found ", positions->scalar_type(), " ", positions->sizes(), " on ",
              positions->device(), ", expected int32, one for each of ", tokens, " tokens, on ", q.device());
}

/// The op on a device whose kernel Device::run calls.
template <class Device>
std::tuple<at::Tensor, at::Tensor> rope_on(const at::Tensor& q_in, const std::optional<at::Tensor>& k_in,
                                           const at::Tensor& cos_in, const at::Tensor& sin_in,
                                           const std::optional<at::Tensor>& positions_in, bool inverse) {
  check_rope(q_in, k_in, cos_in, sin_in, positions_in);
  const auto type = kernel_float_type(q_in.scalar_type());
  MMADA_CHECK(type, "mmada::rope: q: found ", q_in.scalar_type(), ", expected fp32, bf16 or fp16");
  const at::Tensor q = q_in.contiguous(), k = k_in ? k_in->contiguous() : at::empty({0}, q.options());
  const at::Tensor cos = cos_in.contiguous(), sin = sin_in.contiguous();
  const at::Tensor positions = positions_in ? positions_in->contiguous() : at::Tensor();
  const at::Tensor q_out = at::empty_like(q), k_out = at::empty_like(k);
  const int64_t width = q.size(-1), heads = q.size(-2), key_heads = k_in ? k.size(-2) : 0;
  const kernels::RopeParams params{
      .q_THD = q.const_data_ptr(),
      .k_TGD = k.const_data_ptr(),
      .q_out = q_out.mutable_data_ptr(),
      .k_out = k_out.mutable_data_ptr(),
      .type = *type,
      .q_stride = heads * width,
      .k_stride = key_heads * width,
      .q_out_stride = heads * width,
      .k_out_stride = key_heads * width,
      .positions_T = positions.defined() ? positions.const_data_ptr<int32_t>() : nullptr,
      .row_tokens = q.size(-3),
      .cos = cos.const_data_ptr<float>(),
      .sin = sin.const_data_ptr<float>(),
      .tokens = heads > 0 ? q.numel() / (heads * width) : 0,
      .heads = heads,
      .key_heads = key_heads,
      .head_dim = width,
      .inverse = inverse};
  check_kernel(Device::run(params, q), "rope");
  return {q_out, k_out};
}

}  // namespace mmada::ops
