// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/distributed/group.h"

namespace mmada {

/// A tensor of a checkpoint, or what this process holds of it.
struct CheckpointTensor {
  std::string name;                 ///< of the parameter it belongs to
  std::string kind;                 ///< "master", "exp_avg" and so on
  at::Tensor tensor;                ///< fp32 or fp64, contiguous
  std::vector<int64_t> shape = {};  ///< of the whole
  int64_t offset = 0;               ///< of the piece in the flattened whole
};

/// A checkpoint could not be saved: path, bytes and reason. Those saved before it stand. Programs exit with
/// status 74.
class SaveError : public Error {
 public:
  using Error::Error;
};

/// A training checkpoint of R processes: RUN/checkpoint-N/ holds
///   unwrapped_model/            the model in its published layout (and whatever else save_model writes)
///   shard-r-of-R.safetensors    what rank r held, flat pieces "PARAMETER/master" and so on
///   index.json                  shape and kinds of every parameter, and which shard holds which elements
///   state.json                  step, data positions, random state, versions
///   manifest.json               size and SHA-256 of every other file; written last
/// It is built under .tmp-checkpoint-N, every file and folder forced to disk, and renamed into place: a
/// checkpoint is there as a whole or not at all. Any number of processes may load it.
struct CheckpointContents {
  int64_t step = 0;
  std::vector<CheckpointTensor> tensors;  ///< this process's
  Json state;
  /// Called in every process; writes below the checkpoint's folder in rank 0 alone.
  std::function<void(const std::string& directory)> save_model;
  /// The same for a save in the background, where there is such a thing: called in every process, copies what
  /// is needed; what it returns writes the copies, and is called in another thread.
  std::function<std::function<void()>(const std::string& directory)> stage_model = nullptr;
};

/// Saves and returns the checkpoint's path; every process of the group calls it, with one folder in common.
/// Refuses non-finite tensors and a disk without room for it. What fails in one process is a SaveError in
/// all; what it had written is removed. An existing checkpoint of this step is replaced in one exchange. Then
/// removes the oldest checkpoints beyond `total_limit` (0: keeps all), but only after the new one was read
/// back and verified.
std::string save_checkpoint(const std::string& run_directory, const CheckpointContents& contents,
                            int64_t total_limit, const Group& group = {});

/// Where the checkpoint of a step lies.
std::string checkpoint_path(const std::string& run_directory, int64_t step);

struct FoundCheckpoint {
  std::string path;
  int64_t step = 0;
};
/// The run's checkpoints, newest first; half-written ones are not among them.
std::vector<FoundCheckpoint> list_checkpoints(const std::string& run_directory);
/// Step of the checkpoint in a folder, by its name; nothing where the name is another.
std::optional<int64_t> checkpoint_step(const std::string& path);
/// What of a checkpoint has to be whole.
enum class Wholeness { kEverything, kWeights };
/// Compares every file, or those with weights, with the manifest: nothing when all agree, else what is wrong.
std::optional<std::string> verify_checkpoint(const std::string& path,
                                             Wholeness wholeness = Wholeness::kEverything);
/// The newest checkpoint that verifies; what was passed over is appended to `refused` as "PATH: REASON".
/// Folders of interrupted saves are removed.
std::optional<FoundCheckpoint> newest_checkpoint(const std::string& run_directory,
                                                 std::vector<std::string>* refused);

/// What was not there, in any process, where a checkpoint was loaded in part.
struct MissingParts {
  bool moments = false, averages = false;  ///< of some parameter: the optimizer's, or averaged weights
  std::vector<std::string> reasons;        ///< one for each thing that was not there
};

/// Reads this process's tensors in place, whatever number of processes saved them, and returns the state.
/// Missing, extra and misshapen tensors are one error; a value that is not finite is damage.
///
/// With `missing` moments and averaged weights need not be there, whole and finite, and what is beyond them
/// is passed over; nor need state.json agree with the manifest: it is null then.
Json load_checkpoint(const std::string& path, const std::vector<CheckpointTensor>& tensors,
                     const Group& group = {}, MissingParts* missing = nullptr);

}  // namespace mmada
