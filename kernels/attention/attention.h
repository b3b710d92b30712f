// SPDX-License-Identifier: MIT
// Shape suffixes: B rows, Q queries and K keys of a row, H heads, G key heads, D head_dim.
#pragma once

#include "kernels/common/context.h"
#include "kernels/common/float_types.h"

namespace mmada::kernels {

/// Where a token's head begins: base + row * row_stride + token * token_stride + head * head_stride, in
/// elements. The head's D elements are dense.
struct AttentionStrides {
  int64_t row = 0, token = 0, head = 0;
};

/// softmax(scale q k^T + bias) v without causality, for rows of tokens (SPEC 1.2, 1.3).
///
/// Rows come in one of two layouts:
///  - fixed: q [B, Q, H, D], k and v [B, K, G, D]; Q may be smaller than K (decoding against cached keys);
///  - packed (offsets given): all rows behind one another without padding, q [total, H, D]; row b holds
///    queries [query_offsets_B1[b], query_offsets_B1[b + 1]), keys likewise. Q and K bound the lengths.
/// A query sees the keys of up to two spans, given per group of queries_per_group neighbouring queries; a
/// query that sees none gets zeros, log-sum-exp -inf and zero gradients.
struct AttentionParams {
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  void* out = nullptr;               ///< like q
  float* logsumexp = nullptr;        ///< natural, [H, total queries]; null in the forward pass: not wanted
  FloatType type = FloatType::kF32;  ///< of q, k, v and out
  AttentionStrides q_strides, k_strides, v_strides, out_strides;
  int64_t batch = 0, queries = 0, keys = 0;
  int64_t heads = 0, key_heads = 0, head_dim = 0;  ///< key_heads divides heads
  const int32_t* query_offsets_B1 = nullptr;       ///< packed rows: int32 [B + 1], on the device
  const int32_t* key_offsets_B1 = nullptr;
  int64_t total_queries = 0;  ///< packed rows: query_offsets_B1[B]; fixed rows: B * Q
  /// [B, query_groups, 2 spans, begin and end): key indices within the row; null: every key is visible. The
  /// two spans of a group must not overlap; an empty one has end <= begin.
  const int32_t* key_spans = nullptr;
  int64_t query_groups = 1, queries_per_group = 0;  ///< 0: the whole row is one group
  /// SPEC 1.3 additive_one: +1 on the score where the query's position and the key both lie in [begin, end)
  /// of the row; int32 [B, 2]; null: no bias.
  const int32_t* bias_spans_B2 = nullptr;
  const int32_t* query_positions_BQ = nullptr;  ///< for the bias; null: 0, 1, ...; fixed rows only
  float scale = 0;                              ///< usually 1 / sqrt(D)
};

/// Gradients of the loss; dq, dk and dv are written, laid out like q, k and v.
struct AttentionGradients {
  const void* dout = nullptr;  ///< like out
  void* dq = nullptr;
  void* dk = nullptr;
  void* dv = nullptr;
};

/// Bytes of workspace, 0 unless the keys are split over blocks (few queries, many keys).
size_t attention_workspace_size(const AttentionParams& params);
/// CUDA, sm_80 and newer: bf16 and fp16, head_dim 64 and 128, pointers and strides multiples of 16 bytes.
/// Reads q once, k and v once per 64 queries; results are the same bits on every run.
[[nodiscard]] Status attention_cuda(const AttentionParams& params, const Context& context);

size_t attention_backward_workspace_size(const AttentionParams& params);
/// Needs out and logsumexp of the forward pass. Deterministic: two passes without atomics, one for dk and dv
/// and one for dq, at seven products of tiles where atomics would need five.
[[nodiscard]] Status attention_backward_cuda(const AttentionParams& params,
                                             const AttentionGradients& gradients, const Context& context);

/// The oracle: plain fp64 loops on fp32 operands. Intermediate scores, probabilities and their gradients pass
/// through `round`, which is the identity for the exact answer and a rounding to bf16 for what eager bf16
/// arithmetic would give.
void attention_ref(const AttentionParams& params, double (*round)(double));
/// Gradients of the same; reads out and logsumexp.
void attention_backward_ref(const AttentionParams& params, const AttentionGradients& gradients,
                            double (*round)(double));

}  // namespace mmada::kernels
