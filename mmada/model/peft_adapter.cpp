// SPDX-License-Identifier: MIT
#include "mmada/model/peft_adapter.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <filesystem>
#include <set>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/model/tensor_file.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "base_model.model.", kModel = "model.";
constexpr std::string_view kA = ".lora_A.weight", kB = ".lora_B.weight",
                           kMagnitude = ".lora_magnitude_vector";
constexpr const char *kConfig = "adapter_config.json", *kTensors = "adapter_model.safetensors";

/// What of an adapter's configuration decides the merged weights.
struct PeftConfig {
  int64_t rank;
  double alpha;
  bool dora;
};

PeftConfig read_config(const std::string& path) {
  const Json json = read_json_file(path);
  Fields fields(json, path);
  fields.choice("peft_type", {"LORA"});
  const PeftConfig config{.rank = fields.integer("r", 1, 1 << 20),
                          .alpha = fields.number("lora_alpha", 0.0, 1e6),
                          .dora = fields.boolean("use_dora", false)};
  // what would change the weights in a way of its own has to be off; the rest is for training and loading
  for (const char* flag : {"use_rslora", "fan_in_fan_out", "lora_bias"})
    if (fields.has(flag) && fields.boolean(flag)) fields.fail(flag, "true", "false: it is not merged here");
  for (const char* patterns : {"rank_pattern", "alpha_pattern"})
    if (const Json& value = fields.raw(patterns); !value.is_null() && !value.empty())
      fields.fail(patterns, found_text(value), "none: one rank and one alpha for all modules");
  return config;
}

/// Tensors of one module, by the module's name.
std::map<std::string, AdaptedWeight> read_adapters(const std::string& path, double scale) {
  std::map<std::string, AdaptedWeight> adapters;
  for (const auto& [name, tensor] : read_tensor_file(path)) {
    const auto ends = [&name = name](std::string_view suffix) { return name.ends_with(suffix); };
    const std::string_view suffix = ends(kA) ? kA : ends(kB) ? kB : ends(kMagnitude) ? kMagnitude : "";
    MMADA_CHECK(name.starts_with(kPrefix) && !suffix.empty(), path, ": found the tensor ", quote(name),
                ", expected ", kPrefix, "MODULE", kA, ", ", kB, " or ", kMagnitude);
    const std::string module = name.substr(kPrefix.size(), name.size() - kPrefix.size() - suffix.size());
    AdaptedWeight& adapter = adapters[module];
    adapter.scale = scale;
    (suffix == kA ? adapter.a : suffix == kB ? adapter.b : adapter.magnitude) = tensor.to(at::kFloat);
  }
  return adapters;
}

void check_shapes(const AdaptedWeight& adapter, const NamedParameter& parameter, const PeftConfig& config,
                  const std::string& path) {
  const int64_t outputs = parameter.tensor.size(0), inputs = parameter.tensor.size(1);
  const auto expect = [&](const at::Tensor& tensor, std::string_view kind, std::vector<int64_t> shape) {
    MMADA_CHECK(tensor.defined(), path, ": found no ", kind.substr(1), " of ", parameter.name, ", expected ",
                at::IntArrayRef(shape));
    MMADA_CHECK(tensor.sizes() == shape, path, ": ", kind.substr(1), " of ", parameter.name, ": found ",
                tensor.sizes(), ", expected ", at::IntArrayRef(shape));
  };
  expect(adapter.a, kA, {config.rank, inputs});
  expect(adapter.b, kB, {outputs, config.rank});
  if (config.dora) expect(adapter.magnitude, kMagnitude, {outputs});
  MMADA_CHECK(config.dora || !adapter.magnitude.defined(), path, ": found a magnitude of ", parameter.name,
              " and use_dora false, expected both or none");
}

}  // namespace

void save_peft_adapter(const std::string& directory, const LoraOptions& lora, const std::string& base,
                       const std::vector<std::pair<std::string, at::Tensor>>& adapters) {
  std::map<std::string, at::Tensor> tensors;
  std::set<std::string> modules;  // in full: "ff_out" alone would take the head in too
  for (const auto& [name, tensor] : adapters) {
    tensors[std::string(kPrefix) + name] = tensor.to(at::kFloat);
    if (name.ends_with(kA)) modules.insert(name.substr(0, name.size() - kA.size()));
  }
  fs::create_directories(directory);
  const Json config = {{"peft_type", "LORA"},   {"base_model_name_or_path", base},
                       {"r", lora.rank},        {"lora_alpha", lora.alpha},
                       {"lora_dropout", 0.0},   {"target_modules", modules},
                       {"use_dora", lora.dora}, {"use_rslora", false},
                       {"bias", "none"},        {"fan_in_fan_out", false},
                       {"inference_mode", true}};
  write_tensor_file(directory + "/" + kTensors, tensors, {{"format", "pt"}});
  write_file(directory + "/" + kConfig, config.dump(2) + "\n");
}

int64_t merge_peft_adapter(const Transformer& transformer, const std::string& directory) {
  const at::NoGradGuard no_grad;
  const PeftConfig config = read_config(directory + "/" + kConfig);
  const std::string path = directory + "/" + kTensors;
  auto adapters = read_adapters(path, config.alpha / static_cast<double>(config.rank));
  int64_t merged = 0;
  for (const NamedParameter& parameter : transformer.parameters()) {
    const std::string module = parameter.name.substr(0, parameter.name.rfind(".weight"));
    auto found = adapters.find(module);
    if (found == adapters.end()) found = adapters.find(module.substr(kModel.size()));
    if (found == adapters.end() || parameter.tensor.dim() != 2) continue;
    AdaptedWeight adapter = std::move(found->second);
    adapters.erase(found);
    check_shapes(adapter, parameter, config, path);
    adapter.base.values = parameter.tensor.cpu();
    parameter.tensor.detach().copy_(merge(adapter));
    ++merged;
  }
  MMADA_CHECK(adapters.empty(), path, ": found adapters of ",
              quote(adapters.empty() ? "" : adapters.begin()->first),
              ", expected those of the model's projections");
  MMADA_CHECK(merged > 0, path, ": found no adapters, expected at least one");
  return merged;
}

}  // namespace mmada
