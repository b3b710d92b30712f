// SPDX-License-Identifier: MIT
// Shape suffixes: B rows, T tokens of a row, D d_model, N chosen positions, P the most chosen positions of
// any row.
#include "mmada/model/transformer.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"
#include "mmada/ops/linear.h"
#include "mmada/ops/rms_norm.h"
#include "mmada/ops/swiglu.h"

namespace mmada {
namespace {

void check_rows(const RowBatch& rows, const TransformerConfig& config) {
  const at::Tensor& ids = rows.ids_BT;
  MMADA_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong && ids.numel() > 0, "transformer: found ids ",
              ids.sizes(), " of type ", ids.scalar_type(), ", expected non-empty [B, T] of int64");
  const auto range = at::aminmax(ids);
  const int64_t low = std::get<0>(range).item<int64_t>(), high = std::get<1>(range).item<int64_t>();
  MMADA_CHECK(low >= 0 && high < config.vocab_size, "transformer: found token ids from ", low, " to ", high,
              ", expected 0 to ", config.vocab_size - 1);
}

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

Transformer::Transformer(const TransformerConfig& config, at::TensorOptions options) : config_(config) {
  const int64_t d = config.d_model, kv = config.n_kv_heads * config.head_dim(), mlp = config.mlp_hidden_size;
  const auto matrix = [&](int64_t rows, int64_t columns) { return at::empty({rows, columns}, options); };
  const auto vector = [&] { return at::empty({d}, options); };
  wte_ = matrix(config.vocab_size, d);
  for (int64_t i = 0; i < config.n_layers; ++i)
    blocks_.push_back({.attn_norm = vector(),
                       .q_proj = matrix(d, d),
                       .k_proj = matrix(kv, d),
                       .v_proj = matrix(kv, d),
                       .attn_out = matrix(d, d),
                       .ff_norm = vector(),
                       .ff_proj = matrix(mlp, d),
                       .up_proj = matrix(mlp, d),
                       .ff_out = matrix(d, mlp)});
  ln_f_ = vector();
  ff_out_ = config.tie_word_embeddings ? wte_ : matrix(config.vocab_size, d);
}

PassTables Transformer::tables(int64_t rows, int64_t tokens, const Visibility& visibility,
                               const std::optional<at::Tensor>& positions_N) const {
  const at::Device device = wte_.device();
  PassTables tables{.rope = rope_table(tokens, config_.head_dim(), config_.rope_theta, device),
                    .spans = attention_spans(visibility, rows, tokens, device),
                    .queries = {}};
  if (positions_N) tables.queries.emplace(*positions_N, rows, tokens, device);
  return tables;
}

at::Tensor Transformer::hidden(const at::Tensor& ids_BT, const PassTables& tables) const {
  const auto& [rope, spans, queries] = tables;
  at::Tensor x = at::embedding(wte_, ids_BT);
  for (size_t i = 0; i + 1 < blocks_.size(); ++i) x = full_block(blocks_[i], x, config_, rope, spans);
  x = queries ? partial_block(blocks_.back(), x, config_, rope, spans, *queries)
              : full_block(blocks_.back(), x, config_, rope, spans);
  return rms_norm(x, ln_f_, config_.rms_norm_eps);
}

at::Tensor Transformer::hidden(const RowBatch& rows, const at::Tensor& positions_N) const {
  if (positions_N.numel() == 0) return at::zeros({0, config_.d_model}, options());
  check_rows(rows, config_);
  const auto [batch, tokens] = std::pair(rows.ids_BT.size(0), rows.ids_BT.size(1));
  return hidden(rows.ids_BT.to(wte_.device()), tables(batch, tokens, {rows.mode, rows.valid}, positions_N));
}

at::Tensor Transformer::hidden(const RowBatch& rows) const {
  check_rows(rows, config_);
  const auto [batch, tokens] = std::pair(rows.ids_BT.size(0), rows.ids_BT.size(1));
  return hidden(rows.ids_BT.to(wte_.device()), tables(batch, tokens, {rows.mode, rows.valid}, {}));
}

at::Tensor Transformer::head(Window window) const {
  MMADA_CHECK(0 <= window.begin && window.begin < window.end && window.end <= config_.vocab_size,
              "transformer: found vocabulary window [", window.begin, ", ", window.end,
              "), expected a non-empty part of [0, ", config_.vocab_size, ")");
  return window == Window{0, config_.vocab_size} ? ff_out_ : ff_out_.narrow(0, window.begin, window.size());
}

at::Tensor Transformer::logits(const at::Tensor& hidden_ND, Window window) const {
  return project(hidden_ND, head(window));
}

std::vector<NamedParameter> Transformer::parameters() const {
  std::vector<NamedParameter> result{{"model.transformer.wte.weight", wte_, ParameterKind::kEmbedding}};
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& block = blocks_[i];
    const auto add = [&](const char* name, const at::Tensor& tensor, ParameterKind kind) {
      result.push_back({cat("model.transformer.blocks.", i, ".", name, ".weight"), tensor, kind});
    };
    add("attn_norm", block.attn_norm, ParameterKind::kNorm);
    add("q_proj", block.q_proj, ParameterKind::kLinear);
    add("k_proj", block.k_proj, ParameterKind::kLinear);
    add("v_proj", block.v_proj, ParameterKind::kLinear);
    add("attn_out", block.attn_out, ParameterKind::kLinear);
    add("ff_norm", block.ff_norm, ParameterKind::kNorm);
    add("ff_proj", block.ff_proj, ParameterKind::kLinear);
    add("up_proj", block.up_proj, ParameterKind::kLinear);
    add("ff_out", block.ff_out, ParameterKind::kLinear);
  }
  result.push_back({"model.transformer.ln_f.weight", ln_f_, ParameterKind::kNorm});
  if (!config_.tie_word_embeddings)
    result.push_back({"model.transformer.ff_out.weight", ff_out_, ParameterKind::kHead});
  return result;
}

}  // namespace mmada
