// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mmada/formats/atomic_file.h"
#include "mmada/formats/safetensors.h"

namespace mmada {

/// Name, type and shape of a tensor that is to be written.
struct TensorOutline {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
};

/// Writes one safetensors file in pieces, so that no tensor need be whole in memory. The file appears with
/// commit(), complete, or not at all.
class SafetensorsWriter {
 public:
  /// Writes the header: the tensors in this order. For readers that map the file, wider types come first.
  SafetensorsWriter(const std::string& path, const std::vector<TensorOutline>& tensors,
                    const std::map<std::string, std::string>& metadata = {});

  /// The next bytes of the data, tensor after tensor, little-endian.
  void write(const void* data, uint64_t bytes);
  /// Throws unless all tensors were written, to the byte.
  void commit();

 private:
  std::string path_;
  AtomicFile file_;
  uint64_t missing_ = 0;  // bytes
};

}  // namespace mmada
