// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>

#include "mmada/formats/safetensors.h"
#include "mmada/vision/magvit2.h"

namespace mmada::test {

/// The fp32 and int64 tensors of a small file.
inline std::map<std::string, at::Tensor> read_tensors(const std::string& path) {
  const SafetensorsFile file(path);
  std::map<std::string, at::Tensor> tensors;
  for (const TensorEntry& entry : file.tensors()) {
    MMADA_CHECK(entry.dtype == DType::kF32 || entry.dtype == DType::kI64, path, ": found another dtype");
    at::Tensor tensor = at::empty(entry.shape, entry.dtype == DType::kF32 ? at::kFloat : at::kLong);
    file.read(entry, tensor.mutable_data_ptr());
    tensors[entry.name] = tensor;
  }
  return tensors;
}

/// tests/data/tiny_magvit, weights put in place by this test's own reader.
inline Magvit2 tiny_magvit() {
  const std::string folder = MMADA_TEST_DATA "/tiny_magvit/";
  Magvit2 model(parse_magvit2_config(read_json_file(folder + "config.json"), "config.json"), at::kFloat);
  const auto stored = read_tensors(folder + "model.safetensors");
  for (auto& [name, tensor] : model.parameters()) tensor.copy_(stored.at(name));
  return model;
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace mmada::test
