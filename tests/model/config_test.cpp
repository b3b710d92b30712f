// SPDX-License-Identifier: MIT
#include "mmada/model/config.h"

#include <catch2/catch.hpp>

namespace mmada {
namespace {

Json small() {
  return {{"d_model", 32}, {"n_layers", 2}, {"n_heads", 2}, {"mlp_hidden_size", 80}, {"vocab_size", 512}};
}

Json with(const std::string& key, const Json& value) {
  Json json = small();
  json[key] = value;
  return json;
}

}  // namespace

TEST_CASE("the published configuration reads as the default sizes") {
  const Json json = read_json_file(std::string(MMADA_TEST_DATA) + "/config_8b.json");
  CHECK(parse_transformer_config(json, "config_8b.json") == TransformerConfig{});
}

TEST_CASE("a written configuration reads back the same") {
  TransformerConfig config;
  config.d_model = 48;
  config.n_heads = 4;
  config.n_kv_heads = 2;
  config.rope_theta = 1e4;
  config.tie_word_embeddings = true;
  CHECK(parse_transformer_config(transformer_config_json(config), "config.json") == config);
}

TEST_CASE("absent and null settings take the published meaning") {
  const TransformerConfig config = parse_transformer_config(small(), "config.json");
  CHECK(config.n_kv_heads == 2);
  CHECK(config.rms_norm_eps == 1e-5);
  CHECK_FALSE(config.tie_word_embeddings);
  CHECK(parse_transformer_config(with("mlp_hidden_size", nullptr), "config.json").mlp_hidden_size == 128);
  CHECK(parse_transformer_config(with("multi_query_attention", true), "config.json").n_kv_heads == 1);
  CHECK(parse_transformer_config(with("embedding_size", 640), "config.json").vocab_size == 640);
  CHECK(parse_transformer_config(with("weight_tying", true), "config.json").tie_word_embeddings);
  CHECK_NOTHROW(parse_transformer_config(with("transformers_version", "4.46.0"), "config.json"));
}

TEST_CASE("settings of other networks are refused by name") {
  const std::vector<std::pair<std::string, Json>> settings = {{"alibi", true},
                                                              {"include_bias", true},
                                                              {"include_qkv_bias", true},
                                                              {"bias_for_layer_norm", true},
                                                              {"attention_layer_norm", true},
                                                              {"scale_logits", true},
                                                              {"input_emb_norm", true},
                                                              {"rope", false},
                                                              {"rope_full_precision", false},
                                                              {"block_type", "sequential"},
                                                              {"layer_norm_type", "default"},
                                                              {"activation_type", "gelu"},
                                                              {"layer_norm_with_affine", false}};
  for (const auto& [key, value] : settings)
    CHECK_THROWS_WITH(parse_transformer_config(with(key, value), "c.json"),
                      Catch::Contains("c.json: field `" + key + "`"));
}

TEST_CASE("missing, contradictory and absurd sizes are refused by name") {
  for (const char* key : {"d_model", "n_layers", "n_heads", "vocab_size"}) {
    Json json = small();
    json.erase(key);
    CHECK_THROWS_WITH(parse_transformer_config(json, "c.json"), Catch::Contains(key));
  }
  const std::vector<std::pair<std::string, Json>> sizes = {
      {"d_model", 33},      {"d_model", 0},          {"d_model", -32},           {"d_model", 1e30},
      {"n_heads", 3},       {"n_heads", 32},         {"n_layers", 1025},         {"n_layers", "2"},
      {"vocab_size", 3e9},  {"embedding_size", 511}, {"n_kv_heads", 3},          {"mlp_hidden_size", 0},
      {"rope_theta", -1.0}, {"rms_norm_eps", "x"},   {"max_sequence_length", 0}, {"n_layers", 2.5}};
  for (const auto& [key, value] : sizes)
    CHECK_THROWS_WITH(parse_transformer_config(with(key, value), "c.json"),
                      Catch::Contains("c.json: field `"));
  Json tied = with("weight_tying", true);
  tied["tie_word_embeddings"] = false;
  CHECK_THROWS_WITH(parse_transformer_config(tied, "c.json"), Catch::Contains("tie_word_embeddings"));
  Json queries = with("multi_query_attention", true);
  queries["n_kv_heads"] = 2;
  CHECK_THROWS_WITH(parse_transformer_config(queries, "c.json"), Catch::Contains("n_kv_heads"));
  CHECK_THROWS_WITH(parse_transformer_config(Json::array(), "c.json"), Catch::Contains("c.json"));
}

}  // namespace mmada
