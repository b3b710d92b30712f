// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/model/checkpoint.h"
#include "mmada/model/open_checkpoint.h"

namespace mmada {
namespace {

constexpr std::string_view kModelPrefix = "model.";
constexpr std::string_view kHeadName = "model.transformer.ff_out.weight";

std::string without_prefix(const std::string& name, std::string_view prefix) {
  return !prefix.empty() && name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

// "transformer.block_groups.G.I.rest" (SPEC 1.5) is block G * group_size + I.
std::string without_groups(const std::string& name, int64_t group_size) {
  constexpr std::string_view kGroups = "transformer.block_groups.";
  if (!name.starts_with(kGroups)) return name;
  size_t read = 0;
  const std::string tail = name.substr(kGroups.size());
  const auto number = [&](size_t begin) {
    size_t end = begin;
    while (end < tail.size() && end - begin < 6 && tail[end] >= '0' && tail[end] <= '9') ++end;
    const bool dotted = end > begin && end < tail.size() && tail[end] == '.';
    read = dotted ? end + 1 : 0;
    return dotted ? std::stoll(tail.substr(begin, end - begin)) : int64_t{-1};
  };
  const int64_t group = number(0);
  const int64_t inner = group < 0 ? -1 : number(read);
  if (inner < 0 || inner >= group_size) return name;
  return cat("transformer.blocks.", group * group_size + inner, ".", tail.substr(read));
}

std::vector<ExpectedTensor> expected_tensors(const TransformerConfig& config) {
  const Transformer shapes(config,
                           at::TensorOptions().dtype(at::kFloat).device(at::kMeta));  // allocates nothing
  std::vector<ExpectedTensor> expected;
  for (const NamedParameter& parameter : shapes.parameters())
    expected.push_back({parameter.name, parameter.tensor.sizes().vec()});
  return expected;
}

// The type asked for, else the one the embedding is stored in.
at::ScalarType weight_type(const CheckpointReader& reader, const LoadOptions& options,
                           const std::string& source) {
  if (!options.dtype.empty()) return scalar_type_from_name(options.dtype);
  const DType stored = reader.find("model.transformer.wte.weight")->dtype;
  MMADA_CHECK(stored == DType::kF32 || stored == DType::kBF16 || stored == DType::kF16, source,
              ": found weights stored as ", dtype_name(stored),
              ", expected F32, BF16 or F16 (or a dtype to convert to)");
  return scalar_type_of(stored);
}

CheckpointReader open_weights(const std::string& directory, const TransformerConfig& config,
                              int64_t group_size) {
  CheckpointReader reader(directory, [group_size](const std::string& name) {
    return without_groups(without_prefix(name, kModelPrefix), group_size);
  });
  std::vector<std::string> tolerated;
  if (config.tie_word_embeddings) tolerated.emplace_back(kHeadName);
  reader.check(expected_tensors(config), tolerated);
  return reader;
}

}  // namespace

OpenCheckpoint open_checkpoint(const std::string& directory) {
  const std::string source = directory + "/config.json";
  Json json = read_json_file(source);
  const TransformerConfig config = parse_transformer_config(json, source);
  const int64_t group_size = Fields(json, source).integer("block_group_size", 1, config.n_layers, 1);
  CheckpointReader reader = open_weights(directory, config, group_size);
  auto tokenizer = has_tokenizer(directory) ? load_tokenizer(directory) : nullptr;
  TokenLayout layout = make_token_layout(json, tokenizer.get(), source);
  return {std::move(json), config, std::move(tokenizer), layout, std::move(reader)};
}

Model load_model(const std::string& directory, const LoadOptions& options) {
  OpenCheckpoint open = open_checkpoint(directory);
  const at::ScalarType type = weight_type(open.reader, options, directory);
  Model model{.transformer = Transformer(
                  open.config, at::TensorOptions().dtype(type).device(device_from_name(options.device))),
              .tokenizer = std::move(open.tokenizer),
              .layout = open.layout,
              .config = std::move(open.json),
              .source = directory};
  std::vector<std::pair<std::string, at::Tensor>> destinations;
  for (const NamedParameter& parameter : model.transformer.parameters())
    destinations.emplace_back(parameter.name, parameter.tensor);
  open.reader.read(destinations);
  return model;
}

}  // namespace mmada
