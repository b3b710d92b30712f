// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include "mmada/core/check.h"

namespace mmada::ops {

using OptionalTensor = std::optional<at::Tensor>;

/// Keys or values [B, T, G, D] as [B, T, heads, D].
inline at::Tensor repeat_heads(const at::Tensor& x_BTGD, int64_t heads) {
  return x_BTGD.size(2) == heads ? x_BTGD : x_BTGD.repeat_interleave(heads / x_BTGD.size(2), 2);
}

/// What every implementation of mmada::attention refuses.
inline void check_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const OptionalTensor& key_spans, const OptionalTensor& bias_spans,
                            const OptionalTensor& query_positions) {
  const char* op = "mmada::attention";
  MMADA_CHECK(q.dim() == 4 && k.dim() == 4 && v.sizes() == k.sizes() && q.size(0) == k.size(0) &&
                  q.size(3) == k.size(3) && k.size(2) > 0 && q.size(2) % k.size(2) == 0,
              op, ": found q ", q.sizes(), ", k ", k.sizes(), ", v ", v.sizes(),
              ", expected [B, P, H, D] and twice [B, T, G, D] with G dividing H");
  MMADA_CHECK(k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type() &&
                  k.device() == q.device() && v.device() == q.device(),
              op, ": found q ", q.scalar_type(), " on ", q.device(), ", k ", k.scalar_type(), " on ",
              k.device(), ", v ", v.scalar_type(), " on ", v.device(), ", expected one type and device");
  const auto check_ints = [&](const char* name, const OptionalTensor& x, bool right, const char* expected) {
    if (!x) return;
    MMADA_CHECK(right && x->size(0) == q.size(0) && x->scalar_type() == at::kInt && x->device() == q.device(),
                op, ": ", name, ": found ", x->scalar_type(), " ", x->sizes(), " on ", x->device(),
                ", expected int32 ", expected, " on ", q.device());
  };
  check_ints("key_spans", key_spans,
             key_spans && key_spans->dim() == 4 && key_spans->size(1) >= 1 && key_spans->size(2) == 2 &&
                 key_spans->size(3) == 2,
             "[B, groups, 2, 2]");
  check_ints("bias_spans", bias_spans, bias_spans && bias_spans->dim() == 2 && bias_spans->size(1) == 2,
             "[B, 2]");
  check_ints("query_positions", query_positions,
             query_positions && query_positions->dim() == 2 && query_positions->size(1) == q.size(1),
             "[B, P]");
}

/// What every implementation of mmada::packed_attention refuses.
inline void check_packed_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   const at::Tensor& query_offsets, const at::Tensor& key_offsets,
                                   int64_t longest_query, int64_t longest_key) {
  const char* op = "mmada::packed_attention";
  MMADA_CHECK(q.dim() == 3 && k.dim() == 3 && v.sizes() == k.sizes() && q.size(2) == k.size(2) &&
                  k.size(1) > 0 && q.size(1) % k.size(1) == 0,
              op, ": found q ", q.sizes(), ", k ", k.sizes(), ", v ", v.sizes(),
              ", expected [N, H, D] and twice [M, G, D] with G dividing H");
  MMADA_CHECK(k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type() &&
                  k.device() == q.device() && v.device() == q.device(),
              op, ": found q ", q.scalar_type(), " on ", q.device(), ", k ", k.scalar_type(), " on ",
              k.device(), ", v ", v.scalar_type(), " on ", v.device(), ", expected one type and device");
  for (const auto& [name, x] : {std::pair("query_offsets", query_offsets), {"key_offsets", key_offsets}})
    MMADA_CHECK(x.dim() == 1 && x.size(0) >= 1 && x.size(0) == query_offsets.size(0) &&
                    x.scalar_type() == at::kInt && x.device() == q.device(),
                op, ": ", name, ": found ", x.scalar_type(), " ", x.sizes(), " on ", x.device(),
                ", expected int32 [B + 1] on ", q.device(), ", both of one length");
  MMADA_CHECK(longest_query >= 0 && longest_key >= 0, op, ": found rows of up to ", longest_query,
              " queries and ", longest_key, " keys, expected at least 0");
}

}  // namespace mmada::ops
