// SPDX-License-Identifier: MIT
#include "mmada/model/config.h"

namespace mmada {
namespace {

constexpr int64_t kMaxVocabulary = int64_t{1} << 31;
constexpr int64_t kMaxWidth = int64_t{1} << 20;

// A published setting whose only implemented value is `expected`; absent and null mean that value.
void require_flag(Fields& fields, const std::string& key, bool expected) {
  const bool found = fields.boolean(key, expected);
  if (found != expected)
    fields.fail(key, found ? "true" : "false", expected ? "true" : "false (this network has no such part)");
}

void refuse_other_networks(Fields& fields) {
  for (const char* key : {"alibi", "include_bias", "include_qkv_bias", "bias_for_layer_norm",
                          "attention_layer_norm", "scale_logits", "input_emb_norm"})
    require_flag(fields, key, false);
  require_flag(fields, "rope", true);
  require_flag(fields, "rope_full_precision", true);
  require_flag(fields, "layer_norm_with_affine", true);
  fields.choice("block_type", {"llama"}, "llama");
  fields.choice("layer_norm_type", {"rms"}, "rms");
  fields.choice("activation_type", {"silu"}, "silu");
}

// Rows of the embedding: embedding_size where it is given, and never fewer than vocab_size.
int64_t embedding_rows(Fields& fields) {
  const int64_t rows = fields.has("embedding_size") ? fields.integer("embedding_size", 1, kMaxVocabulary) : 0;
  if (rows > 0 && !fields.has("vocab_size")) return rows;
  const int64_t vocabulary = fields.integer("vocab_size", 1, kMaxVocabulary);
  if (rows > 0 && rows < vocabulary)
    fields.fail("embedding_size", std::to_string(rows),
                "at least vocab_size, which is " + std::to_string(vocabulary));
  return rows > 0 ? rows : vocabulary;
}

int64_t key_value_heads(Fields& fields, int64_t n_heads) {
  const bool single = fields.boolean("multi_query_attention", false);
  const int64_t heads = fields.integer("n_kv_heads", 1, n_heads, single ? 1 : n_heads);
  if (n_heads % heads != 0)
    fields.fail("n_kv_heads", std::to_string(heads), "a divisor of n_heads " + std::to_string(n_heads));
  if (single && heads != 1)
    fields.fail("n_kv_heads", std::to_string(heads), "1, since multi_query_attention is true");
  return heads;
}

bool tied_weights(Fields& fields) {
  const bool tied = fields.boolean("weight_tying", fields.boolean("tie_word_embeddings", false));
  if (fields.boolean("tie_word_embeddings", tied) != tied)
    fields.fail("tie_word_embeddings", tied ? "false" : "true", "the value of weight_tying");
  return tied;
}

}  // namespace

TransformerConfig parse_transformer_config(const Json& json, const std::string& source) {
  Fields fields(json, source);  // without finish(): published files hold many keys that mean nothing here
  refuse_other_networks(fields);
  TransformerConfig config;
  config.d_model = fields.integer("d_model", 2, kMaxWidth);
  config.n_layers = fields.integer("n_layers", 1, 1024);
  config.n_heads = fields.integer("n_heads", 1, config.d_model / 2);
  if (config.d_model % config.n_heads != 0 || config.head_dim() % 2 != 0)
    fields.fail("n_heads", std::to_string(config.n_heads),
                "a number that divides d_model " + std::to_string(config.d_model) + " into even parts");
  config.n_kv_heads = key_value_heads(fields, config.n_heads);
  const double ratio = fields.number("mlp_ratio", 0.0, 1024.0, 4.0);
  config.mlp_hidden_size = fields.integer("mlp_hidden_size", 1, kMaxWidth,
                                          static_cast<int64_t>(ratio * static_cast<double>(config.d_model)));
  if (config.mlp_hidden_size < 1 || config.mlp_hidden_size > kMaxWidth)
    fields.fail("mlp_ratio", std::to_string(ratio), "an MLP of 1 to " + std::to_string(kMaxWidth) + " units");
  config.vocab_size = embedding_rows(fields);
  config.max_sequence_length =
      fields.integer("max_sequence_length", 1, int64_t{1} << 30, config.max_sequence_length);
  config.rms_norm_eps = fields.number("rms_norm_eps", 0.0, 1.0, config.rms_norm_eps);
  config.rope_theta = fields.number("rope_theta", 1.0, 1e12, config.rope_theta);
  config.tie_word_embeddings = tied_weights(fields);
  return config;
}

Json transformer_config_json(const TransformerConfig& config) {
  return {{"architectures", {"MMadaModelLM"}},
          {"model_type", "mmada"},
          {"d_model", config.d_model},
          {"n_layers", config.n_layers},
          {"n_heads", config.n_heads},
          {"n_kv_heads", config.n_kv_heads},
          {"mlp_hidden_size", config.mlp_hidden_size},
          {"vocab_size", config.vocab_size},
          {"embedding_size", config.vocab_size},
          {"max_sequence_length", config.max_sequence_length},
          {"rms_norm_eps", config.rms_norm_eps},
          {"rope_theta", config.rope_theta},
          {"tie_word_embeddings", config.tie_word_embeddings},
          {"weight_tying", config.tie_word_embeddings},
          {"block_type", "llama"},
          {"block_group_size", 1},
          {"activation_type", "silu"},
          {"layer_norm_type", "rms"},
          {"layer_norm_with_affine", true},
          {"rope", true},
          {"rope_full_precision", true},
          {"alibi", false},
          {"attention_layer_norm", false},
          {"bias_for_layer_norm", false},
          {"include_bias", false},
          {"include_qkv_bias", false},
          {"input_emb_norm", false},
          {"scale_logits", false},
          {"attention_dropout", 0.0},
          {"residual_dropout", 0.0},
          {"embedding_dropout", 0.0},
          {"use_cache", false}};
}

}  // namespace mmada
