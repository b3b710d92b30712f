// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace mmada {

/// What the queries of mmada::attention see. All int32, on q's device.
struct AttentionSpans {
  /// [B, groups, 2 spans, begin and end) of the keys seen by each of `groups` equal runs of neighbouring
  /// queries; an empty span has end <= begin. None: every key.
  std::optional<at::Tensor> keys;
  /// [B, 2]: SPEC 1.3 additive_one, +1 where query position and key both lie in [begin, end).
  std::optional<at::Tensor> bias;
  std::optional<at::Tensor> query_positions;  ///< [B, P], for the bias; none: 0, 1, ...
};

struct AttentionResult {
  at::Tensor out;        ///< [B, P, H, D]; zeros for queries that see nothing
  at::Tensor logsumexp;  ///< fp32 [B, H, P]; -inf there. Not differentiable
};

/// softmax(q k^T / sqrt(D)) v for q [B, P, H, D], k and v [B, T, G, D] with G dividing H: the op
/// mmada::attention. Differentiable in q, k and v. On GPUs bf16 and fp16 with D 64 or 128 run the project's
/// own kernels, other types and widths plain ATen; on CPUs ATen's flash attention, keys cut to the spans.
AttentionResult attention_op(const at::Tensor& q_BPHD, const at::Tensor& k_BTGD, const at::Tensor& v_BTGD,
                             const AttentionSpans& spans);

/// Rows behind one another without padding: row b holds tokens [offsets[b], offsets[b + 1]). The offsets are
/// int32 [B + 1] on q's device, from 0 to the number of tokens and never falling; on GPUs nobody looks.
struct PackedRows {
  at::Tensor query_offsets, key_offsets;
  int64_t longest_query = 0, longest_key = 0;  ///< bounds of the rows' lengths
};

/// Attention within packed rows: q [N, H, D], k and v [M, G, D] -> out [N, H, D], logsumexp [H, N]. A row
/// without keys gives zeros and -inf. Differentiable like attention_op; the op is mmada::packed_attention.
/// What has no kernel on a GPU takes whole [H, N, M] scores there.
AttentionResult packed_attention_op(const at::Tensor& q_NHD, const at::Tensor& k_MGD, const at::Tensor& v_MGD,
                                    const PackedRows& rows);

}  // namespace mmada
