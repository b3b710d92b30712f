// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/core/dtype.h"
#include "mmada/formats/input_file.h"
#include "mmada/formats/limits.h"

namespace mmada {

/// One tensor of a safetensors file: where its bytes lie, counted from the end of the header.
struct TensorEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// A safetensors file whose header was validated completely before anything is allocated or read: the tensors
/// cover the data exactly, without holes or overlap, and every size is shape x dtype (RELIABILITY promises
/// 1-9).
///
/// Beyond the format's rules it refuses, so that memory stays bounded by the file: more tensors, dimensions
/// or longer strings than Limits allow, fields nobody knows, dtypes that DType lacks.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path, const Limits& limits = {});

  const std::string& path() const { return file_.path(); }
  uint64_t bytes() const { return file_.size(); }                       ///< of the whole file
  const std::vector<TensorEntry>& tensors() const { return tensors_; }  ///< in file order (by begin)
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// nullptr when there is no such tensor.
  const TensorEntry* find(const std::string& name) const;
  /// Reads the entry's bytes with pread straight into `destination`, which holds end - begin bytes. Several
  /// threads may read at once. Bytes are little-endian, as in the file.
  void read(const TensorEntry& entry, void* destination) const;

 private:
  InputFile file_;
  uint64_t data_begin_ = 0;
  std::vector<TensorEntry> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Parses and validates a header (the JSON text alone) for a data section of data_bytes; `source` names it in
/// errors. Entries come back in file order.
std::vector<TensorEntry> parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                                  const std::string& source,
                                                  std::map<std::string, std::string>* metadata = nullptr,
                                                  const Limits& limits = {});

/// Elements times element size; nothing where that does not fit in 63 bits or a dimension is negative.
std::optional<uint64_t> tensor_bytes(const std::vector<int64_t>& shape, DType dtype);

/// A tensor to be written; data is little-endian, contiguous, and stays alive until write_safetensors
/// returns.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

/// Writes one file atomically (one shard, or a whole checkpoint): tensors in the given order, except that
/// wider element types come first, so that every tensor is aligned to its elements for readers that map the
/// file.
void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// The safetensors files of a checkpoint directory and which of them holds each tensor. Accepts
/// model.safetensors, pytorch_model.safetensors, or an index (model.safetensors.index.json and the
/// pytorch_model spelling), in this order: model.safetensors, its index, pytorch_model.safetensors, its
/// index. Refuses pickled .bin/.pt/.pth/.ckpt files with the command that converts them, and index entries
/// that are not plain file names inside the directory.
struct CheckpointFiles {
  std::vector<std::string> files;                ///< full paths, sorted, each once
  std::map<std::string, size_t> file_of_tensor;  ///< only filled from an index
};
CheckpointFiles find_checkpoint_files(const std::string& directory, const Limits& limits = {});

/// The validated weight_map of an index (tensor name to file name); `source` names the index in errors.
std::map<std::string, std::string> parse_checkpoint_index(std::string_view json, const std::string& source,
                                                          const Limits& limits = {});

}  // namespace mmada
