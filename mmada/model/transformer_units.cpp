// SPDX-License-Identifier: MIT
#include "mmada/model/transformer_units.h"

#include <ATen/ATen.h>

#include <span>

namespace mmada {
namespace {

constexpr size_t kBlockParameters = 9;

TransformerUnit plain_unit(const std::string& name, std::span<const NamedParameter> parameters) {
  TransformerUnit unit{.name = name, .shapes = {}, .frozen = {}, .parameters = {}};
  for (const NamedParameter& parameter : parameters) {
    const std::vector<int64_t> shape = parameter.tensor.sizes().vec();
    unit.parameters.push_back({.name = parameter.name, .shape = shape, .values = unit.shapes.size()});
    unit.shapes.push_back({parameter.name, shape});
  }
  return unit;
}

/// Adds the adapter of a projection [O, I] to what is trained.
void add_adapter(TransformerUnit& unit, UnitParameter& parameter, const LoraOptions& lora) {
  const AdapterNames names = adapter_names(parameter.name);
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape) {
    unit.shapes.push_back({name, shape});
    return unit.shapes.size() - 1;
  };
  parameter.a = add(names.a, {lora.rank, parameter.shape[1]});
  parameter.b = add(names.b, {parameter.shape[0], lora.rank});
  if (lora.dora) parameter.magnitude = add(names.magnitude, {parameter.shape[0]});
}

/// Adds what the parameter is held as, once all that is trained is there.
void add_frozen(TransformerUnit& unit, UnitParameter& parameter, at::ScalarType compute) {
  const auto add = [&](const std::string& suffix, const std::vector<int64_t>& shape, at::ScalarType type) {
    unit.frozen.push_back({parameter.name + suffix, shape, type});
    return unit.shapes.size() + unit.frozen.size() - 1;
  };
  const std::vector<int64_t>& shape = parameter.shape;
  const int64_t block = FrozenWeight::kNf4Block;
  if (parameter.format == WeightFormat::kFull) {
    parameter.values = add("", shape, compute);
  } else if (parameter.format == WeightFormat::kInt8) {
    parameter.values = add("", shape, at::kChar);
    parameter.scales = add(".scales", {shape[0]}, at::kFloat);
  } else {
    parameter.values = add("", {shape[0], shape[1] / 2}, at::kByte);
    parameter.scales = add(".scales", {shape[0], (shape[1] + block - 1) / block}, at::kFloat);
  }
}

TransformerUnit adapted_unit(TransformerUnit unit, const LoraOptions& lora, at::ScalarType compute,
                             bool block) {
  unit.shapes.clear();
  for (UnitParameter& parameter : unit.parameters) {
    if (lora.adapts(parameter.name)) add_adapter(unit, parameter, lora);
    if (block && parameter.shape.size() == 2) parameter.format = lora.base;
  }
  for (UnitParameter& parameter : unit.parameters) add_frozen(unit, parameter, compute);
  return unit;
}

}  // namespace

AdaptedWeight adapted_weight(const UnitParameter& parameter, at::TensorList tensors, double scale) {
  const auto at_index = [&](const std::optional<size_t>& index) {
    return index ? tensors[*index] : at::Tensor();
  };
  return {.base = {parameter.format, tensors[parameter.values], at_index(parameter.scales)},
          .a = at_index(parameter.a),
          .b = at_index(parameter.b),
          .magnitude = at_index(parameter.magnitude),
          .scale = scale};
}

std::vector<TransformerUnit> transformer_units(const TransformerConfig& config,
                                               const std::optional<LoraOptions>& lora,
                                               at::ScalarType compute) {
  const auto parameters = Transformer(config, at::TensorOptions(at::kMeta)).parameters();
  const std::span<const NamedParameter> all(parameters);
  const size_t blocks = kBlockParameters * static_cast<size_t>(config.n_layers);
  std::vector<NamedParameter> first(all.begin(), all.begin() + 1);
  if (config.tie_word_embeddings) first.push_back(all[1 + blocks]);
  std::vector<TransformerUnit> units{plain_unit("embedding", first)};
  for (size_t i = 0; i < static_cast<size_t>(config.n_layers); ++i)
    units.push_back(plain_unit(cat("block ", i), all.subspan(1 + kBlockParameters * i, kBlockParameters)));
  if (!config.tie_word_embeddings) units.push_back(plain_unit("head", all.subspan(1 + blocks)));
  if (!lora) return units;
  for (TransformerUnit& unit : units)
    unit = adapted_unit(std::move(unit), *lora, compute, unit.name.starts_with("block "));
  return units;
}

ParameterKind adapter_kind(const std::string& name) {
  return name.ends_with(".lora_magnitude_vector") ? ParameterKind::kNorm : ParameterKind::kLinear;
}

}  // namespace mmada
