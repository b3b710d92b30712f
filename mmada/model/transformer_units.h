// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mmada/distributed/shard.h"
#include "mmada/model/lora.h"
#include "mmada/model/transformer.h"

namespace mmada {

/// A parameter of the network, and which of its unit's tensors (as ShardedModel::Pass gets them) stand for
/// it.
struct UnitParameter {
  std::string name;
  std::vector<int64_t> shape;
  WeightFormat format = WeightFormat::kFull;
  size_t values = 0;  ///< the parameter itself, or what it was quantised to
  std::optional<size_t> scales = {}, a = {}, b = {}, magnitude = {};  ///< as in AdaptedWeight
};
/// The parts of a parameter of two dimensions.
AdaptedWeight adapted_weight(const UnitParameter& parameter, at::TensorList tensors, double scale);

/// A unit of the transformer: what is trained of it, what is not, and how its parameters come out of both.
struct TransformerUnit {
  std::string name;
  ShardedModel::NamedShapes shapes;  ///< trained
  std::vector<FrozenTensor> frozen;
  std::vector<UnitParameter> parameters;  ///< in published order
};
/// Units of the embedding, of each block, and of ln_f with the head. With tied embeddings ln_f and the head
/// belong to the first unit. Under LoRA the adapters alone are trained, and `compute` is the type of all
/// frozen parameters but quantised ones.
std::vector<TransformerUnit> transformer_units(const TransformerConfig& config,
                                               const std::optional<LoraOptions>& lora = {},
                                               at::ScalarType compute = at::kFloat);
/// What an adapter's tensor is for the optimizer.
ParameterKind adapter_kind(const std::string& name);

}  // namespace mmada
