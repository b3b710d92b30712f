// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "mmada/core/json.h"

namespace mmada {

/// Sizes of the transformer (SPEC 1.1); defaults are the published MMaDA-8B.
struct TransformerConfig {
  int64_t d_model = 4096;
  int64_t n_layers = 32;
  int64_t n_heads = 32;
  int64_t n_kv_heads = 32;
  int64_t mlp_hidden_size = 12288;
  int64_t vocab_size = 134656;  ///< rows of wte and of the head (embedding_size in config.json)
  int64_t max_sequence_length = 4096;
  double rms_norm_eps = 1e-5;
  double rope_theta = 500000.0;
  bool tie_word_embeddings = false;

  int64_t head_dim() const { return d_model / n_heads; }
  bool operator==(const TransformerConfig&) const = default;
};

/// Reads config.json's object (SPEC 1.4): ignores published keys without effect, refuses settings this
/// network does not implement (alibi, biases, q/k norm, ...) and sizes that are missing, contradictory or
/// absurd.
TransformerConfig parse_transformer_config(const Json& json, const std::string& source);
/// The published config.json layout for this configuration.
Json transformer_config_json(const TransformerConfig& config);

}  // namespace mmada
