// SPDX-License-Identifier: MIT
// What the processes of a run write into a checkpoint side by side, and how any number of them reads it.
#pragma once

#include <string>
#include <vector>

#include "mmada/trainer/checkpoint.h"

namespace mmada {

/// A file of a checkpoint as its manifest lists it.
struct ListedFile {
  std::string name;  ///< relative to the checkpoint's folder
  int64_t bytes = 0;
  std::string sha256;
};

/// Writes this process's shard, and beside it what rank 0 has to know of it.
void write_shard(const std::string& directory, const std::vector<CheckpointTensor>& tensors,
                 const Group& group);
/// In rank 0, once every shard is there: writes index.json, removes the notes beside the shards and returns
/// the shards' entries of the manifest.
std::vector<ListedFile> write_index(const std::string& directory, const Group& group);

/// Names of the shards that a checkpoint's index lists.
std::vector<std::string> indexed_shards(const std::string& directory);
/// Fills this process's tensors from whichever shards hold them. Every process calls it. `missing` as
/// load_checkpoint says.
void read_shards(const std::string& directory, const std::vector<CheckpointTensor>& tensors,
                 const Group& group, MissingParts* missing = nullptr);
/// Whether a run can begin without such a tensor: neither a weight nor what stands for one.
bool can_begin_anew(const CheckpointTensor& tensor);

}  // namespace mmada
