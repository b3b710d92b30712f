// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>

#include "mmada/formats/safetensors.h"
#include "mmada/model/transformer.h"

namespace mmada::test {

/// Every tensor of a safetensors file, F32 and I64.
inline std::map<std::string, at::Tensor> read_tensors(const std::string& path) {
  std::map<std::string, at::Tensor> tensors;
  const SafetensorsFile file(path);
  for (const TensorEntry& entry : file.tensors()) {
    at::Tensor tensor = at::empty(entry.shape, entry.dtype == DType::kI64 ? at::kLong : at::kFloat);
    file.read(entry, tensor.data_ptr());
    tensors[entry.name] = tensor;
  }
  return tensors;
}

/// The golden checkpoint's network, without the loader: losses are tested on their own.
inline Transformer tiny_transformer(const std::string& directory) {
  const Json config = read_json_file(directory + "/config.json");
  Transformer model(parse_transformer_config(config, "config.json"), at::kFloat);
  const auto tensors = read_tensors(directory + "/model.safetensors");
  for (const NamedParameter& parameter : model.parameters()) {
    at::Tensor tensor = parameter.tensor;
    tensor.copy_(tensors.at(parameter.name));
  }
  return model;
}

}  // namespace mmada::test
