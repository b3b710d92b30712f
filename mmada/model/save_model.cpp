// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>

#include <cstdio>
#include <filesystem>
#include <set>

#include "mmada/core/check.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/safetensors.h"
#include "mmada/model/checkpoint.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

struct Shard {
  std::vector<NamedParameter> parameters;
  int64_t bytes = 0;
};

// Parameters in order, a new shard where the next one would not fit.
std::vector<Shard> split_into_shards(const std::vector<NamedParameter>& parameters, int64_t max_bytes) {
  std::vector<Shard> shards(1);
  for (const NamedParameter& parameter : parameters) {
    const auto bytes = static_cast<int64_t>(parameter.tensor.nbytes());
    if (!shards.back().parameters.empty() && shards.back().bytes + bytes > max_bytes) shards.emplace_back();
    shards.back().parameters.push_back(parameter);
    shards.back().bytes += bytes;
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

void write_shard(const Shard& shard, const std::string& path) {
  std::vector<at::Tensor> held;  // contiguous CPU tensors alive until the file is written
  std::vector<TensorToWrite> tensors;
  for (const NamedParameter& parameter : shard.parameters) {
    held.push_back(parameter.tensor.detach().cpu().contiguous());
    tensors.push_back({parameter.name, dtype_of(held.back().scalar_type()), held.back().sizes().vec(),
                       held.back().const_data_ptr()});
  }
  write_safetensors(path, tensors, {{"format", "pt"}});
}

// Writes every shard, and an index where there are several. Returns the names of the files.
std::set<std::string> write_weights(const Transformer& transformer, const std::string& directory,
                                    int64_t max_bytes) {
  const auto shards = split_into_shards(transformer.parameters(), max_bytes);
  std::set<std::string> written;
  Json weight_map = Json::object();
  int64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    write_shard(shards[i], directory + "/" + name);
    written.insert(name);
    total += shards[i].bytes;
    for (const NamedParameter& parameter : shards[i].parameters) weight_map[parameter.name] = name;
  }
  if (shards.size() > 1) {
    const std::string name = "model.safetensors.index.json";
    const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
    write_file(directory + "/" + name, index.dump(2) + "\n");
    written.insert(name);
  }
  return written;
}

// An earlier save into the same folder may have been cut differently; its files would be read first.
void remove_stale_weights(const std::string& directory, const std::set<std::string>& written) {
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename();
    const bool weights = name.starts_with("model") || name.starts_with("pytorch_model");
    const bool ours = name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
    if (weights && ours && !written.contains(name)) stale.push_back(entry.path());
  }
  for (const fs::path& path : stale) fs::remove(path);
  sync_directory(directory);
}

// The configuration as read, with the sizes and names this network is now saved under.
Json config_to_write(const Model& model) {
  Json out = model.config.is_object() ? model.config : Json::object();
  const Json own = transformer_config_json(model.transformer.config());
  const std::set<std::string> decided = {"d_model",
                                         "n_layers",
                                         "n_heads",
                                         "n_kv_heads",
                                         "mlp_hidden_size",
                                         "embedding_size",
                                         "rope_theta",
                                         "rms_norm_eps",
                                         "max_sequence_length",
                                         "weight_tying",
                                         "tie_word_embeddings",
                                         "block_group_size"};
  for (const auto& [key, value] : own.items())
    if (!out.contains(key) || out[key].is_null() || decided.contains(key)) out[key] = value;
  const bool narrower = out["vocab_size"].is_number_integer() &&
                        out["vocab_size"].get<int64_t>() <= model.transformer.config().vocab_size;
  if (!narrower) out["vocab_size"] = model.transformer.config().vocab_size;
  if (out["n_kv_heads"] != 1) out["multi_query_attention"] = nullptr;
  const at::ScalarType type = c10::typeMetaToScalarType(model.transformer.options().dtype());
  out["torch_dtype"] = type == at::kFloat      ? "float32"
                       : type == at::kBFloat16 ? "bfloat16"
                       : type == at::kHalf     ? "float16"
                                               : "float64";
  return out;
}

void copy_tokenizer(const std::string& source, const std::string& directory) {
  std::error_code error;
  if (fs::equivalent(source, directory, error)) return;
  std::vector<fs::path> files;
  if (fs::is_directory(source)) {
    for (const char* name :
         {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
          "tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja"})
      if (fs::is_regular_file(fs::path(source) / name)) files.push_back(fs::path(source) / name);
  } else if (fs::is_regular_file(source)) {
    files.emplace_back(source);
  }
  MMADA_CHECK(!files.empty(), source,
              ": found no tokenizer files, expected a tokenizer or a folder that holds one");
  for (const fs::path& file : files) write_file(directory + "/" + file.filename().string(), read_file(file));
}

}  // namespace

void save_model(const Model& model, const std::string& directory, const std::string& tokenizer_source,
                int64_t max_shard_bytes) {
  MMADA_CHECK(max_shard_bytes > 0, "save_model: found a shard size of ", max_shard_bytes,
              " bytes, expected at least 1");
  std::error_code error;
  fs::create_directories(directory, error);
  MMADA_CHECK(fs::is_directory(directory), directory,
              ": found no folder and could not make one: ", error.message());
  const auto written = write_weights(model.transformer, directory, max_shard_bytes);
  write_file(directory + "/config.json", config_to_write(model).dump(2) + "\n");
  if (!tokenizer_source.empty()) copy_tokenizer(tokenizer_source, directory);
  remove_stale_weights(directory, written);
}

}  // namespace mmada
