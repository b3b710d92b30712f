// SPDX-License-Identifier: MIT
#include "mmada/model/tensor_file.h"

#include <ATen/ATen.h>

#include "mmada/formats/safetensors.h"
#include "mmada/model/checkpoint.h"

namespace mmada {

std::map<std::string, at::Tensor> read_tensor_file(const std::string& path) {
  const SafetensorsFile file(path);
  std::map<std::string, at::Tensor> tensors;
  for (const TensorEntry& entry : file.tensors()) {
    at::Tensor tensor = at::empty(entry.shape, scalar_type_of(entry.dtype));
    file.read(entry, tensor.mutable_data_ptr());
    tensors.emplace(entry.name, tensor);
  }
  return tensors;
}

void write_tensor_file(const std::string& path, const std::map<std::string, at::Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<at::Tensor> held;  // contiguous CPU copies, alive until the file is written
  std::vector<TensorToWrite> entries;
  for (const auto& [name, tensor] : tensors) {
    held.push_back(tensor.detach().cpu().contiguous());
    entries.push_back(
        {name, dtype_of(held.back().scalar_type()), held.back().sizes().vec(), held.back().const_data_ptr()});
  }
  write_safetensors(path, entries, metadata);
}

}  // namespace mmada
