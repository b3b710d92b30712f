// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "mmada/generation/generator.h"
#include "mmada/model/transformer.h"

namespace mmada::tiny {

/// 64 text ids, 32 codes, 4 unused ids behind them.
inline TokenLayout layout() {
  TokenLayout layout;
  layout.vocab_size = 100;
  layout.bos = 50, layout.eos = 51, layout.mask = 52, layout.soi = 53, layout.eoi = 54;
  layout.t2i = 55, layout.mmu = 56, layout.r2i = 57, layout.image_pad = 58;
  layout.start_header = 59, layout.end_header = 60, layout.eot = 61;
  layout.image_token_offset = 64, layout.codebook_size = 32;
  return layout;
}

inline TransformerConfig config() {
  TransformerConfig config;
  config.d_model = 32, config.n_layers = 2, config.n_heads = 2, config.n_kv_heads = 2;
  config.mlp_hidden_size = 48, config.vocab_size = layout().vocab_size, config.max_sequence_length = 320;
  return config;
}

inline at::Tensor parameter(const Transformer& model, const std::string& suffix) {
  for (const NamedParameter& parameter : model.parameters())
    if (parameter.name.ends_with(suffix)) return parameter.tensor;
  throw Error("no parameter " + suffix);
}

inline Model wrap(Transformer transformer) {
  return {.transformer = std::move(transformer),
          .tokenizer = nullptr,
          .layout = layout(),
          .config = {{"num_vq_tokens", 16}, {"max_text_length", 8}}};
}

/// Random weights whose logits differ by far more than roundings.
inline Model random_model(uint64_t seed, c10::ScalarType dtype = at::kFloat) {
  Transformer transformer(config(), at::TensorOptions().dtype(at::kFloat));
  initialize(transformer, {.seed = seed});
  for (const NamedParameter& p : transformer.parameters())
    if (p.name.ends_with("attn_out.weight") || p.name.ends_with("v_proj.weight"))
      at::Tensor(p.tensor).mul_(3);
  parameter(transformer, "transformer.ff_out.weight").mul_(5);
  if (dtype == at::kFloat) return wrap(transformer);
  Transformer cast(config(), at::TensorOptions().dtype(dtype));
  const auto from = transformer.parameters(), to = cast.parameters();
  for (size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].tensor).copy_(from[i].tensor);
  return wrap(cast);
}

/// A model that gives `logits` at every position whatever the row.
inline Model scripted_model(const std::vector<float>& logits) {
  Transformer transformer(config(), at::TensorOptions().dtype(at::kFloat));
  initialize(transformer, {.zero_output_projections = true});
  at::Tensor wte = parameter(transformer, "transformer.wte.weight"),
             head = parameter(transformer, "transformer.ff_out.weight");
  wte.zero_().narrow(1, 0, 1).fill_(1.0);  // the norm makes every hidden state (sqrt(d_model), 0, 0, ...)
  head.zero_().select(1, 0).copy_(at::tensor(logits) / std::sqrt(static_cast<double>(config().d_model)));
  return wrap(transformer);
}

}  // namespace mmada::tiny
