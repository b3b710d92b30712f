// SPDX-License-Identifier: MIT
// Shape suffixes: B rows, T tokens of a row, D d_model, N chosen positions, P the most chosen positions of
// any row.
#include "mmada/model/transformer_block.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"
#include "mmada/ops/linear.h"
#include "mmada/ops/rms_norm.h"
#include "mmada/ops/swiglu.h"

namespace mmada {
namespace {

at::Tensor split_heads(const at::Tensor& x, int64_t heads) {
  return x.unflatten(-1, {heads, x.size(-1) / heads});
}

// x + mixed, and the MLP on top of it.
at::Tensor feed_forward(const Transformer::Block& block, const at::Tensor& x, const at::Tensor& mixed,
                        double eps) {
  const auto [sum, y] = add_rms_norm(x, mixed, block.ff_norm, eps);
  return sum + project(swiglu(project(y, block.ff_proj), project(y, block.up_proj)), block.ff_out);
}

at::Tensor full_block(const Transformer::Block& block, const at::Tensor& x_BTD,
                      const TransformerConfig& config, const RopeTable& table, const AttentionSpans& spans) {
  const at::Tensor h = rms_norm(x_BTD, block.attn_norm, config.rms_norm_eps);
  const auto [q, k] = rope(split_heads(project(h, block.q_proj), config.n_heads),
                           split_heads(project(h, block.k_proj), config.n_kv_heads), table);
  const at::Tensor v = split_heads(project(h, block.v_proj), config.n_kv_heads);
  return feed_forward(block, x_BTD, project(attention_op(q, k, v, spans).out.flatten(2), block.attn_out),
                      config.rms_norm_eps);
}

// The same for chosen positions only: keys and values of every token, queries and the rest of [N, D].
at::Tensor partial_block(const Transformer::Block& block, const at::Tensor& x_BTD,
                         const TransformerConfig& config, const RopeTable& table, AttentionSpans spans,
                         const QueryPlan& plan) {
  const at::Tensor h_BTD = rms_norm(x_BTD, block.attn_norm, config.rms_norm_eps);
  const at::Tensor k = rope(split_heads(project(h_BTD, block.k_proj), config.n_kv_heads), table);
  const at::Tensor v = split_heads(project(h_BTD, block.v_proj), config.n_kv_heads);
  const at::Tensor h_ND = h_BTD.flatten(0, 1).index_select(0, plan.flat_N);
  const at::Tensor q_NHD =
      rope(split_heads(project(h_ND, block.q_proj), config.n_heads), table, plan.token_N.to(at::kInt));
  if (spans.bias) spans.query_positions = plan.token_BP.to(at::kInt);
  const at::Tensor mixed_BPD = attention_op(plan.to_rows(q_NHD), k, v, spans).out.flatten(2);
  const at::Tensor x_ND = x_BTD.flatten(0, 1).index_select(0, plan.flat_N);
  return feed_forward(block, x_ND, project(plan.from_rows(mixed_BPD), block.attn_out), config.rms_norm_eps);
}

}  // namespace

void check_rows(const RowBatch& rows, const TransformerConfig& config) {
  const at::Tensor& ids = rows.ids_BT;
  MMADA_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong && ids.numel() > 0, "transformer: found ids ",
              ids.sizes(), " of type ", ids.scalar_type(), ", expected non-empty [B, T] of int64");
  const auto range = at::aminmax(ids);
  const int64_t low = std::get<0>(range).item<int64_t>(), high = std::get<1>(range).item<int64_t>();
  MMADA_CHECK(low >= 0 && high < config.vocab_size, "transformer: found token ids from ", low, " to ", high,
              ", expected 0 to ", config.vocab_size - 1);
}

PassTables pass_tables(const TransformerConfig& config, at::Device device, int64_t rows, int64_t tokens,
                       const Visibility& visibility, const std::optional<at::Tensor>& positions_N) {
  PassTables tables{.rope = rope_table(tokens, config.head_dim(), config.rope_theta, device),
                    .spans = attention_spans(visibility, rows, tokens, device),
                    .queries = {}};
  if (positions_N) tables.queries.emplace(*positions_N, rows, tokens, device);
  return tables;
}

at::Tensor run_block(const Transformer::Block& block, const at::Tensor& x_BTD,
                     const TransformerConfig& config, const PassTables& tables, bool last) {
  const auto& [rope, spans, queries] = tables;
  return last && queries ? partial_block(block, x_BTD, config, rope, spans, *queries)
                         : full_block(block, x_BTD, config, rope, spans);
}

}  // namespace mmada
