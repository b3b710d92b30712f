// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mmada/core/json.h"

namespace mmada {

/// A training checkpoint: RUN/checkpoint-N/ holds
///   unwrapped_model/            the model in its published layout (and whatever else save_model writes)
///   shard-0-of-1.safetensors    fp32 master and optimizer tensors, "PARAMETER/master" and so on
///   index.json                  which shard holds which elements of which parameter
///   state.json                  step, data positions, random state, versions
///   manifest.json               size and SHA-256 of every other file; written last
/// It is built under .tmp-checkpoint-N, every file and folder forced to disk, and renamed into place: a
/// checkpoint is there as a whole or not at all.
struct CheckpointContents {
  int64_t step = 0;
  std::vector<std::pair<std::string, at::Tensor>> tensors;  ///< fp32, "PARAMETER/KIND"
  Json state;
  std::function<void(const std::string& directory)> save_model;  ///< writes below the checkpoint's folder
};

/// Saves and returns the checkpoint's path. Refuses non-finite tensors and a disk without room for it. An
/// existing checkpoint of this step is replaced in one exchange. Then removes the oldest checkpoints beyond
/// `total_limit` (0: keeps all), but only after the new one was read back and verified.
std::string save_checkpoint(const std::string& run_directory, const CheckpointContents& contents,
                            int64_t total_limit);

struct FoundCheckpoint {
  std::string path;
  int64_t step = 0;
};
/// The run's checkpoints, newest first; half-written ones are not among them.
std::vector<FoundCheckpoint> list_checkpoints(const std::string& run_directory);
/// Compares every file with the manifest: nothing when all agree, else what is wrong.
std::optional<std::string> verify_checkpoint(const std::string& path);
/// The newest checkpoint that verifies; what was passed over is appended to `refused` as "PATH: REASON".
/// Folders of interrupted saves are removed.
std::optional<FoundCheckpoint> newest_checkpoint(const std::string& run_directory,
                                                 std::vector<std::string>* refused);

/// Reads the tensors of a checkpoint in place, and returns its state. Missing, extra and misshapen tensors
/// are one error.
Json load_checkpoint(const std::string& path, const std::vector<std::pair<std::string, at::Tensor>>& tensors);

}  // namespace mmada
