// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/sha256.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/input_file.h"
#include "mmada/trainer/checkpoint_shards.h"
#include "mmada/trainer/checkpoint_stages.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormatVersion = 1;

void write_json(const fs::path& path, const Json& json) { write_file(path.string(), json.dump(1) + "\n"); }

/// Of all processes together: the tensors, and the weights and averaged weights once more as models.
uint64_t bytes_of(const CheckpointContents& contents, int processes) {
  uint64_t bytes = 1 << 20;
  for (const CheckpointTensor& tensor : contents.tensors) {
    const uint64_t copies = tensor.kind == "master" || tensor.kind == "ema" ? 2 : 1;
    bytes += copies * tensor.tensor.nbytes() * static_cast<uint64_t>(processes);
  }
  return bytes;
}

void check_room(const SavePlace& place) {
  struct statvfs status {};
  MMADA_CHECK(::statvfs(place.run.c_str(), &status) == 0, place.run,
              ": asking for free space failed: ", errno_text(errno));
  const uint64_t free_bytes = static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
  MMADA_CHECK(free_bytes >= place.bytes, place.run, ": found ", free_bytes, " bytes free");
}

std::vector<fs::path> files_below(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), directory));
  std::sort(files.begin(), files.end());
  return files;
}

/// `known` files are not read again.
void write_manifest(const fs::path& directory, const std::vector<ListedFile>& known) {
  Json files = Json::object();
  for (const ListedFile& file : known) files[file.name] = {{"bytes", file.bytes}, {"sha256", file.sha256}};
  for (const fs::path& file : files_below(directory))
    if (const std::string name = file.generic_string(); !files.contains(name))
      files[name] = {{"bytes", fs::file_size(directory / file)},
                     {"sha256", sha256_file((directory / file).string())}};
  write_json(directory / "manifest.json", {{"format_version", kFormatVersion}, {"files", files}});
}

void sync_folders(const fs::path& directory) {
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_directory()) sync_directory(entry.path().string());
  sync_directory(directory.string());
}

/// Moves `from` to `to`; what stood there before is swapped out in the same instant and then removed.
void move_into_place(const fs::path& from, const fs::path& to) {
  const bool replaces = fs::exists(to);
  const int status =
      ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), replaces ? RENAME_EXCHANGE : 0);
  MMADA_CHECK(status == 0, to.string(), ": renaming failed: ", errno_text(errno));
  sync_directory(to.parent_path().string());
  if (replaces) fs::remove_all(from);
}

/// Renamed first, so that a removal cut short leaves no half checkpoint behind.
void remove_checkpoint(const fs::path& path) {
  const fs::path doomed =
      path.parent_path() / (std::string(kUnfinished) + "removed-" + path.filename().string());
  fs::rename(path, doomed);
  fs::remove_all(doomed);
}

}  // namespace

SavePlace save_place(const std::string& run_directory, const CheckpointContents& contents,
                     const Group& group) {
  const fs::path temporary = fs::path(run_directory) / cat(kUnfinished, contents.step);
  return {.run = run_directory,
          .temporary = temporary.string(),
          .path = checkpoint_path(run_directory, contents.step),
          .bytes = bytes_of(contents, group.size())};
}

void check_finite(const std::vector<CheckpointTensor>& tensors, const std::string& consequence) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, kind, tensor, shape, offset] : tensors)
    // a sum is finite only when every term is, or when infinities met, which is NaN
    MMADA_CHECK(tensor.sum().isfinite().item<bool>(), "found a value that is not finite in ", name, "/", kind,
                ", expected finite values: ", consequence);
}

void prepare_save(const SavePlace& place, const std::vector<CheckpointTensor>& tensors, int rank) {
  check_finite(tensors, "nothing was saved");
  if (rank != 0) return;
  fs::create_directories(place.run);
  check_room(place);
  fs::remove_all(place.temporary);
  fs::create_directory(place.temporary);
}

void commit_save(const SavePlace& place, const Json& state, const Group& group) {
  const fs::path temporary = place.temporary;
  write_json(temporary / "state.json", state);
  write_manifest(temporary, write_index(place.temporary, group));
  sync_folders(temporary);
  move_into_place(temporary, place.path);
}

void rotate(const SavePlace& place, int64_t total_limit) {
  if (total_limit <= 0) return;
  const std::vector<FoundCheckpoint> found = list_checkpoints(place.run);
  if (static_cast<int64_t>(found.size()) <= total_limit) return;
  const auto problem = verify_checkpoint(place.path);
  MMADA_CHECK(!problem, "read back after saving: ", problem.value_or(""), ": older checkpoints were kept");
  for (size_t i = static_cast<size_t>(total_limit); i < found.size(); ++i)
    if (found[i].path != place.path) remove_checkpoint(found[i].path);
}

void abandon_save(const SavePlace& place) noexcept {
  std::error_code ignored;  // the next start clears it away
  fs::remove_all(place.temporary, ignored);
}

SaveError save_error(const SavePlace& place, const std::string& reason) {
  return SaveError(
      cat(place.path, ": saving the checkpoint, about ", place.bytes, " bytes, failed: ", reason));
}

std::string save_checkpoint(const std::string& run_directory, const CheckpointContents& contents,
                            int64_t total_limit, const Group& group) {
  const SavePlace place = save_place(run_directory, contents, group);
  const bool first = group.rank() == 0;
  try {
    group.agree("saving a checkpoint", [&] { prepare_save(place, contents.tensors, group.rank()); });
    contents.save_model(place.temporary);
    group.agree("saving a checkpoint", [&] { write_shard(place.temporary, contents.tensors, group); });
    group.agree("saving a checkpoint", [&] {
      if (!first) return;
      commit_save(place, contents.state, group);
      rotate(place, total_limit);
    });
  } catch (const std::exception& error) {
    if (first) abandon_save(place);
    throw save_error(place, error.what());
  }
  return place.path;
}

}  // namespace mmada
