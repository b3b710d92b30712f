// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mmada/model/checkpoint.h"
#include "mmada/model/lora.h"

namespace mmada {

/// A folder as peft writes and reads it: adapter_config.json and adapter_model.safetensors, whose tensors are
/// named base_model.model.MODULE.lora_A.weight, .lora_B.weight and, of DoRA, .lora_magnitude_vector.

/// Writes adapters (named as in adapter_names) of the base that `base` names, in fp32.
void save_peft_adapter(const std::string& directory, const LoraOptions& lora, const std::string& base,
                       const std::vector<std::pair<std::string, at::Tensor>>& adapters);

/// Merges the adapters of such a folder into the model's weights, which keep their type; modules are named
/// with or without the leading "model.". Throws where a tensor fits no weight of the model, half an adapter
/// is missing, or the configuration asks for what is no LoRA or DoRA of linear layers. Returns how many
/// weights were changed.
int64_t merge_peft_adapter(const Transformer& transformer, const std::string& directory);

}  // namespace mmada
