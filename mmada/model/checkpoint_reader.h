// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mmada/formats/safetensors.h"

namespace mmada {

/// A tensor that a network needs: the name in its own spelling, and the shape.
struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
};

/// The safetensors files of a checkpoint directory under one spelling of the names. Headers are read at
/// construction, data when asked for.
class CheckpointReader {
 public:
  /// `canonical` maps every accepted spelling of a tensor's name to one.
  using Canonical = std::function<std::string(const std::string&)>;
  CheckpointReader(const std::string& directory, Canonical canonical);

  /// Throws one error that lists every missing, unexpected, misshapen and doubly stored tensor.
  void check(const std::vector<ExpectedTensor>& expected, const std::vector<std::string>& tolerated) const;
  const std::vector<SafetensorsFile>& files() const { return files_; }
  /// nullptr when no file holds it.
  const TensorEntry* find(const std::string& name) const;
  /// Fills contiguous tensors of the stored shapes, file by file in the order of their bytes: straight into
  /// memory where type and device agree, else in pieces of a MiB.
  void read(const std::vector<std::pair<std::string, at::Tensor>>& destinations) const;

 private:
  struct Place {
    size_t file;
    size_t entry;
  };

  const TensorEntry& entry(const Place& place) const { return files_[place.file].tensors()[place.entry]; }

  std::string directory_;
  Canonical canonical_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place> places_;
  std::vector<std::string> conflicts_;
};

}  // namespace mmada
