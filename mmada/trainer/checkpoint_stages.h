// SPDX-License-Identifier: MIT
// The stages of a save, one after another in every process: each is to be over in all of them before the
// next.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/trainer/checkpoint.h"

namespace mmada {

/// Begins the names of folders that are being written, or being removed.
constexpr std::string_view kUnfinished = ".tmp-checkpoint-";

/// Where a save goes.
struct SavePlace {
  std::string run;
  std::string temporary;  ///< folder that is written
  std::string path;       ///< and what it becomes
  uint64_t bytes = 0;     ///< that it takes, about
};
SavePlace save_place(const std::string& run_directory, const CheckpointContents& contents,
                     const Group& group);

/// Refuses tensors that are not finite, in words that end with what follows from it.
void check_finite(const std::vector<CheckpointTensor>& tensors, const std::string& consequence);

/// First: refuses tensors that are not finite; rank 0 looks for room and makes the folder.
void prepare_save(const SavePlace& place, const std::vector<CheckpointTensor>& tensors, int rank);
/// Then every process writes its own (write_shard), and last rank 0 lists what is there, forces all of it to
/// disk and moves it into place.
void commit_save(const SavePlace& place, const Json& state, const Group& group);
/// Removes the oldest checkpoints beyond `total_limit` (0: none) once the new one was read back and verified.
void rotate(const SavePlace& place, int64_t total_limit);
/// Gives the disk back what a failed save wrote, where that can be done.
void abandon_save(const SavePlace& place) noexcept;

/// What went wrong in a save, in one message.
SaveError save_error(const SavePlace& place, const std::string& reason);

}  // namespace mmada
