// SPDX-License-Identifier: MIT
#include "mmada/model/checkpoint.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/model/tensor_file.h"
#include "tests/support/tensors.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

const std::string kGolden = std::string(MMADA_TEST_DATA) + "/tiny_mmada";

std::string fresh_directory(const std::string& name) {
  const std::string path = std::string(MMADA_TEST_TMP) + "/checkpoint_" + name;
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

bool same_weights(const Transformer& a, const Transformer& b) {
  const auto left = a.parameters(), right = b.parameters();
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i)
    if (left[i].name != right[i].name || left[i].tensor.scalar_type() != right[i].tensor.scalar_type() ||
        !at::equal(left[i].tensor, right[i].tensor))
      return false;
  return true;
}

// The golden checkpoint with other names or tensors, and changes to its config.json.
std::string variant(const std::string& name, const std::map<std::string, at::Tensor>& tensors,
                    const std::map<std::string, Json>& changes = {}) {
  const std::string directory = fresh_directory(name);
  Json config = read_json_file(kGolden + "/config.json");
  for (const auto& [key, value] : changes) config[key] = value;
  write_file(directory + "/config.json", config.dump());
  write_tensor_file(directory + "/model.safetensors", tensors);
  return directory;
}

std::map<std::string, at::Tensor> golden_tensors() {
  return read_tensor_file(kGolden + "/model.safetensors");
}

std::string message_of(const std::string& directory, const LoadOptions& options = {}) {
  try {
    load_model(directory, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("saving and loading keeps every bit in fp32, bf16 and fp16, in one file or many") {
  for (const char* dtype : {"fp32", "bf16", "fp16"})
    for (const int64_t shard : {int64_t{1} << 40, int64_t{40000}}) {
      const Model model = load_model(kGolden, {.dtype = dtype});
      const std::string directory = fresh_directory("round_trip");
      save_model(model, directory, "", shard);
      const Model loaded = load_model(directory);
      CHECK(same_weights(loaded.transformer, model.transformer));
      CHECK(loaded.layout == model.layout);
      CHECK(loaded.config.at("codebook_size") == 128);
      CHECK(fs::exists(directory + "/model.safetensors.index.json") == (shard == 40000));
    }
}

TEST_CASE("the index of a sharded checkpoint names every tensor and the total size") {
  const Model model = load_model(kGolden);
  const std::string directory = fresh_directory("index");
  save_model(model, directory, "", 40000);
  const Json index = read_json_file(directory + "/model.safetensors.index.json");
  int64_t total = 0;
  for (const NamedParameter& parameter : model.transformer.parameters()) {
    total += static_cast<int64_t>(parameter.tensor.nbytes());
    CHECK(fs::exists(directory + "/" + index["weight_map"].at(parameter.name).get<std::string>()));
  }
  CHECK(index["metadata"]["total_size"] == total);
}

TEST_CASE("a save leaves no file of an earlier, differently cut save behind") {
  const Model model = load_model(kGolden);
  const std::string directory = fresh_directory("stale");
  save_model(model, directory, "", 40000);
  save_model(model, directory);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"config.json", "model.safetensors"});
}

TEST_CASE("names without model. and names of block groups load to the same weights") {
  const Model golden = load_model(kGolden);
  std::map<std::string, at::Tensor> bare, grouped;
  for (const auto& [name, tensor] : golden_tensors()) {
    bare[name.substr(6)] = tensor;
    const bool block = name.starts_with("model.transformer.blocks.");
    grouped[block ? "model.transformer.block_groups.0." + name.substr(25) : name] = tensor;
  }
  CHECK(same_weights(load_model(variant("bare", bare)).transformer, golden.transformer));
  CHECK(same_weights(load_model(variant("grouped", grouped, {{"block_group_size", 2}})).transformer,
                     golden.transformer));
  CHECK(message_of(variant("ungrouped", grouped)).find("block_groups.0.1") != std::string::npos);
}

TEST_CASE("missing, unexpected, misshapen and doubled tensors are one error that lists them all") {
  auto tensors = golden_tensors();
  tensors.erase("model.transformer.ln_f.weight");
  tensors.erase("model.transformer.blocks.1.q_proj.weight");
  tensors["model.transformer.blocks.0.ff_proj.weight"] = at::zeros({81, 32});
  tensors["model.transformer.blocks.0.q_norm.weight"] = at::zeros({32});
  tensors["transformer.wte.weight"] = at::zeros({512, 32});
  const std::string message = message_of(variant("faulty", tensors));
  for (const char* part :
       {"found 5 tensors", "missing: model.transformer.ln_f.weight",
        "missing: model.transformer.blocks.1.q_proj.weight",
        "misshapen: model.transformer.blocks.0.ff_proj.weight: found [81, 32], expected [80, 32]",
        "unexpected: model.transformer.blocks.0.q_norm.weight", "stored twice: transformer.wte.weight"})
    CHECK_THAT(message, Catch::Contains(part));
}

TEST_CASE("a configuration larger than the files is refused before anything is allocated") {
  const std::string directory =
      variant("huge", golden_tensors(),
              {{"d_model", 1 << 20}, {"n_heads", 8}, {"n_layers", 1000}, {"n_kv_heads", 8}});
  CHECK_THAT(message_of(directory), Catch::Contains("misshapen: model.transformer.wte.weight"));
}

TEST_CASE("tied embeddings share one tensor, and a stored copy of the head may lie beside it") {
  auto tensors = golden_tensors();
  const std::map<std::string, Json> tied = {{"weight_tying", true}, {"tie_word_embeddings", true}};
  const Model with_copy = load_model(variant("tied_copy", tensors, tied));
  tensors.erase("model.transformer.ff_out.weight");
  const Model model = load_model(variant("tied", tensors, tied));
  CHECK(model.transformer.head({0, 512}).data_ptr() == model.transformer.parameters()[0].tensor.data_ptr());
  CHECK(same_weights(model.transformer, with_copy.transformer));
  const std::string directory = fresh_directory("tied_saved");
  save_model(model, directory);
  CHECK(same_weights(load_model(directory).transformer, model.transformer));
  CHECK_THAT(message_of(variant("untied", tensors)),
             Catch::Contains("missing: model.transformer.ff_out.weight"));
}

TEST_CASE("weights convert to the type asked for") {
  const Model wide = load_model(kGolden), narrow = load_model(kGolden, {.dtype = "bf16"});
  for (size_t i = 0; i < wide.transformer.parameters().size(); ++i)
    CHECK(at::equal(wide.transformer.parameters()[i].tensor.to(at::kBFloat16),
                    narrow.transformer.parameters()[i].tensor));
  CHECK_THROWS_AS(load_model(kGolden, {.dtype = "int8"}), UsageError);
  CHECK_THROWS_AS(load_model(kGolden, {.device = "gpu"}), UsageError);
  if (!at::hasCUDA()) CHECK_THAT(message_of(kGolden, {.device = "cuda"}), Catch::Contains("no CUDA"));
}

TEST_CASE("tokenizer files are copied along") {
  const std::string source = fresh_directory("tokenizer"), directory = fresh_directory("with_tokenizer");
  write_file(source + "/tokenizer.json", "{}");
  write_file(source + "/tokenizer_config.json", "{\"a\": 1}");
  save_model(load_model(kGolden), directory, source);
  CHECK(read_file(directory + "/tokenizer_config.json") == "{\"a\": 1}");
  CHECK(fs::exists(directory + "/tokenizer.json"));
  CHECK_THROWS_WITH(save_model(load_model(kGolden), directory, fresh_directory("empty")),
                    Catch::Contains("found no tokenizer files"));
}

// Run by the next case in a process of its own, where nothing freed before hides what loading takes.
TEST_CASE("one load within a memory limit", "[.child]") {
  const char* directory = std::getenv("MMADA_CHILD_DIRECTORY");
  const char* dtype = std::getenv("MMADA_CHILD_DTYPE");
  const char* limit = std::getenv("MMADA_CHILD_LIMIT");
  REQUIRE((directory != nullptr && dtype != nullptr && limit != nullptr));
  load_model(kGolden, {.dtype = "bf16"});  // code pages and threads are there before the measurement begins
  at::ones({1 << 20}).to(at::kBFloat16);
  const int64_t before = reset_peak_memory();
  const Model model = load_model(directory, {.dtype = dtype});
  CHECK(model.transformer.config().d_model == 512);
  CHECK(peak_memory() - before <= std::stoll(limit));
}

TEST_CASE("loading takes little more memory than the weights, sharded and converted too") {
  TransformerConfig config;
  config.d_model = 512;
  config.n_layers = 8;
  config.n_heads = config.n_kv_heads = 8;
  config.mlp_hidden_size = 2048;
  config.vocab_size = 16000;
  const std::string directory = fresh_directory("large");
  Json json = transformer_config_json(config);
  json["mask_token_id"] = 1;
  json["eos_token_id"] = 2;
  int64_t weights = 0;
  {
    Model model{Transformer(config, at::kFloat), nullptr, {}, json};
    for (const NamedParameter& parameter : model.transformer.parameters()) {
      parameter.tensor.fill_(0.5);
      weights += static_cast<int64_t>(parameter.tensor.nbytes());
    }
    REQUIRE(weights > int64_t{190} << 20);
    save_model(model, directory, "", int64_t{64} << 20);
  }
  setenv("MMADA_CHILD_DIRECTORY", directory.c_str(), 1);
  for (const std::string dtype : {"fp32", "bf16"}) {
    setenv("MMADA_CHILD_DTYPE", dtype.c_str(), 1);
    setenv("MMADA_CHILD_LIMIT", std::to_string((dtype == "bf16" ? weights / 2 : weights) * 11 / 10).c_str(),
           1);
    const std::string program = fs::read_symlink("/proc/self/exe");
    CHECK(std::system(cat("'", program, "' '[.child]' > '", directory, "/log' 2>&1").c_str()) == 0);
    INFO(read_file(directory + "/log"));
    CHECK(read_file(directory + "/log").find("All tests passed") != std::string::npos);
  }
  fs::remove_all(directory);
}

}  // namespace mmada
