// SPDX-License-Identifier: MIT
#include "mmada/model/transformer.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"
#include "mmada/model/transformer_block.h"
#include "mmada/ops/linear.h"
#include "mmada/ops/rms_norm.h"

namespace mmada {
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
  return pass_tables(config_, wte_.device(), rows, tokens, visibility, positions_N);
}

at::Tensor Transformer::hidden(const at::Tensor& ids_BT, const PassTables& tables) const {
  at::Tensor x = at::embedding(wte_, ids_BT);
  for (size_t i = 0; i < blocks_.size(); ++i)
    x = run_block(blocks_[i], x, config_, tables, i + 1 == blocks_.size());
  return rms_norm(x, ln_f_, config_.rms_norm_eps);
}

at::Tensor Transformer::hidden(const RowBatch& rows, const at::Tensor& positions_N) const {
  if (positions_N.numel() == 0) return at::zeros({0, config_.d_model}, options());
  check_rows(rows, config_);
  return hidden(rows.ids_BT.to(wte_.device()), pass_tables(config_, wte_.device(), rows, positions_N));
}

at::Tensor Transformer::hidden(const RowBatch& rows) const {
  check_rows(rows, config_);
  return hidden(rows.ids_BT.to(wte_.device()), pass_tables(config_, wte_.device(), rows, {}));
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
