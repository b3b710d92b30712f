// SPDX-License-Identifier: MIT
// `mmada info`: what was built, and what a checkpoint's files say about themselves. No weights are read.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "mmada/cli/verb.h"
#include "mmada/core/version.h"
#include "mmada/model/open_checkpoint.h"
#include "mmada/vision/open_image_tokenizer.h"

namespace mmada::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model, image_tokenizer;
  bool json = false;
};

Json window_json(Window window) { return {window.begin, window.end}; }

/// Files, bytes and element types as stored; parameters as the network counts them.
Json weights_json(const CheckpointReader& reader, int64_t parameters) {
  Json files = Json::object(), elements = Json::object();
  uint64_t bytes = 0;
  for (const SafetensorsFile& file : reader.files()) {
    bytes += file.bytes();
    files[fs::path(file.path()).filename().string()] = {{"bytes", file.bytes()},
                                                        {"tensors", file.tensors().size()}};
    for (const TensorEntry& tensor : file.tensors()) {
      const std::string dtype(dtype_name(tensor.dtype));
      elements[dtype] =
          elements.value(dtype, uint64_t{0}) + (tensor.end - tensor.begin) / dtype_size(tensor.dtype);
    }
  }
  return {{"parameters", parameters}, {"bytes", bytes}, {"elements", elements}, {"files", files}};
}

Json tokenizer_json(const Tokenizer* tokenizer, const std::string& directory) {
  if (tokenizer == nullptr) return nullptr;
  const fs::path file = tokenizer_file(directory);
  return {{"kind", file.extension() == ".model" ? "SentencePiece" : "byte-level BPE"},
          {"ids", tokenizer->size()},
          {"file", file.filename().string()},
          {"bytes", fs::file_size(file)}};
}

Json layout_json(const TokenLayout& layout) {
  Json special = Json::object();
  for (const auto& [name, id] : layout.special_ids()) special[name] = id;
  return {{"vocab_size", layout.vocab_size},
          {"text_window", window_json(layout.text_window())},
          {"code_window", layout.has_images() ? window_json(layout.code_window()) : Json()},
          {"special_ids", special}};
}

Json model_json(const std::string& directory) {
  const OpenCheckpoint open = open_checkpoint(directory);
  const TransformerConfig& config = open.config;
  const Transformer shapes(config, at::TensorOptions(at::kFloat).device(at::kMeta));  // allocates nothing
  int64_t parameters = 0;
  for (const NamedParameter& parameter : shapes.parameters()) parameters += parameter.tensor.numel();
  return {{"directory", directory},
          {"architecture",
           {{"d_model", config.d_model},
            {"n_layers", config.n_layers},
            {"n_heads", config.n_heads},
            {"n_kv_heads", config.n_kv_heads},
            {"mlp_hidden_size", config.mlp_hidden_size},
            {"embedding_size", config.vocab_size},
            {"max_sequence_length", config.max_sequence_length},
            {"rope_theta", config.rope_theta},
            {"rms_norm_eps", config.rms_norm_eps},
            {"weight_tying", config.tie_word_embeddings}}},
          {"weights", weights_json(open.reader, parameters)},
          {"tokenizer", tokenizer_json(open.tokenizer.get(), directory)},
          {"layout", layout_json(open.layout)}};
}

Json image_tokenizer_json(const std::string& directory) {
  const OpenImageTokenizer open = open_image_tokenizer(directory);
  const Magvit2 shapes(open.config, at::TensorOptions(at::kFloat).device(at::kMeta));
  int64_t parameters = 0;
  for (const auto& [name, tensor] : shapes.parameters()) parameters += tensor.numel();
  Json architecture = magvit2_config_json(open.config);
  architecture.erase("_class_name");
  architecture["factor"] = open.config.factor();
  architecture["codebook_size"] = open.config.codebook_size();
  return {{"directory", directory},
          {"architecture", architecture},
          {"weights", weights_json(open.reader, parameters)}};
}

/// One line per value, nested objects indented below their name.
void print_lines(const Json& object, int indent) {
  for (const auto& [key, value] : object.items()) {
    const bool nested = value.is_object();
    std::printf("%*s%-*s%s\n", indent, "", nested ? 0 : 22 - indent, key.c_str(),
                nested              ? ""
                : value.is_string() ? value.get_ref<const std::string&>().c_str()
                : value.is_null()   ? "none"
                                    : value.dump().c_str());
    if (nested) print_lines(value, indent + 2);
  }
}

void run_info(const Options& flags) {
  Json info = {{"version", MMADA_VERSION}, {"threads", at::get_num_threads()}, {"cuda", at::hasCUDA()}};
  if (!flags.model.empty()) info["model"] = model_json(flags.model);
  if (!flags.image_tokenizer.empty()) info["image_tokenizer"] = image_tokenizer_json(flags.image_tokenizer);
  if (flags.json) return print_json(info);
  print_lines(info, 0);
}

}  // namespace

void add_info(CLI::App& app) {
  auto* verb = app.add_subcommand("info", "Show versions, devices and threads, and what a checkpoint holds");
  auto flags =
      std::make_shared<Options>();  // CLI11 writes it, the callback reads it: it outlives this function
  verb->add_option("-m,--model", flags->model, "Checkpoint directory; its weights are not read");
  verb->add_option("--image-tokenizer", flags->image_tokenizer,
                   "Directory of an image tokenizer (MAGVIT-v2); its weights are not read");
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags] { run_info(*flags); });
}

}  // namespace mmada::cli
