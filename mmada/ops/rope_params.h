// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include "mmada/core/check.h"

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

}  // namespace mmada::ops
