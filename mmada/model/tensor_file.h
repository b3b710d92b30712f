// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

namespace mmada {

/// Every tensor of one safetensors file, on the CPU in its stored type.
std::map<std::string, at::Tensor> read_tensor_file(const std::string& path);
/// Writes one safetensors file atomically; tensors of any device and layout.
void write_tensor_file(const std::string& path, const std::map<std::string, at::Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace mmada
