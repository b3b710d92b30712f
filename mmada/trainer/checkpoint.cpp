// SPDX-License-Identifier: MIT
#include "mmada/trainer/checkpoint.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/core/sha256.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/input_file.h"
#include "mmada/trainer/checkpoint_shards.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormatVersion = 1;
constexpr std::string_view kPrefix = "checkpoint-";
constexpr std::string_view kUnfinished = ".tmp-checkpoint-";  // being written, or being removed

std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stopped, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return error == std::errc() && stopped == end && step >= 0 ? std::optional(step) : std::nullopt;
}

void write_json(const fs::path& path, const Json& json) { write_file(path.string(), json.dump(1) + "\n"); }

void check_room(const fs::path& directory, const CheckpointContents& contents, const Group& group) {
  uint64_t needed = 1 << 20;
  for (const CheckpointTensor& tensor : contents.tensors)
    needed += tensor.tensor.nbytes() * static_cast<uint64_t>(group.size());
  struct statvfs status {};
  if (::statvfs(directory.c_str(), &status) != 0) return;
  const uint64_t free_bytes = static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
  MMADA_CHECK(free_bytes >= needed, directory.string(), ": found ", free_bytes,
              " bytes free, a checkpoint needs ", needed);
}

void check_finite(const CheckpointContents& contents) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, kind, tensor, shape, offset] : contents.tensors)
    // a sum is finite only when every term is, or when infinities met, which is NaN
    MMADA_CHECK(tensor.sum().isfinite().item<bool>(), "checkpoint: found a value that is not finite in ",
                name, "/", kind, ", expected finite weights: nothing was saved");
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

void rotate(const std::string& run_directory, const std::string& newest, int64_t total_limit) {
  if (total_limit <= 0) return;
  const std::vector<FoundCheckpoint> found = list_checkpoints(run_directory);
  if (static_cast<int64_t>(found.size()) <= total_limit) return;
  const auto problem = verify_checkpoint(newest);
  MMADA_CHECK(!problem, newest, ": read back after saving: ", problem.value_or(""),
              ": older checkpoints were kept");
  for (size_t i = static_cast<size_t>(total_limit); i < found.size(); ++i)
    if (found[i].path != newest) remove_checkpoint(found[i].path);
}

void remove_unfinished(const std::string& run_directory) {
  std::vector<fs::path> unfinished;
  for (const auto& entry : fs::directory_iterator(run_directory))
    if (entry.path().filename().string().starts_with(kUnfinished)) unfinished.push_back(entry.path());
  for (const fs::path& path : unfinished) fs::remove_all(path);
}

bool stays_inside(const std::string& name) {
  const fs::path file = fs::path(name).lexically_normal();
  return !file.empty() && !file.is_absolute() && *file.begin() != ".." &&
         name.find('\0') == std::string::npos;
}

std::vector<ListedFile> read_manifest(const fs::path& directory) {
  const std::string source = (directory / "manifest.json").string();
  const Json json = read_json_file(source);
  Fields fields(json, source);
  fields.integer("format_version", kFormatVersion, kFormatVersion);
  const Json& files = fields.raw("files");
  if (!files.is_object()) fields.fail("files", found_text(files), "an object of file names");
  fields.finish();
  std::vector<ListedFile> listed;
  for (const auto& [name, value] : files.items()) {
    MMADA_CHECK(stays_inside(name), source, ": field `files`: found ", quote(name),
                ", expected a file inside the checkpoint");
    Fields entry(value, source, "files." + printable(name));
    listed.push_back({name, entry.integer("bytes", 0, INT64_MAX), entry.string("sha256")});
    entry.finish();
  }
  for (const char* required : {"index.json", "state.json"})
    MMADA_CHECK(files.contains(required), source, ": field `files`: found no ", required,
                ", expected it listed");
  return listed;
}

std::optional<std::string> compare_file(const fs::path& directory, const ListedFile& expected) {
  const fs::path file = directory / expected.name;
  std::error_code error;
  const uint64_t bytes = fs::file_size(file, error);
  if (error) return cat(file.string(), ": is missing, expected it as the manifest lists it");
  if (bytes != static_cast<uint64_t>(expected.bytes))
    return cat(file.string(), ": found ", bytes, " bytes, expected the manifest's ", expected.bytes);
  if (sha256_file(file.string()) != expected.sha256)
    return cat(file.string(), ": differs from its hash in the manifest");
  return std::nullopt;
}

}  // namespace

std::string checkpoint_path(const std::string& run_directory, int64_t step) {
  return (fs::path(run_directory) / cat(kPrefix, step)).string();
}

std::string save_checkpoint(const std::string& run_directory, const CheckpointContents& contents,
                            int64_t total_limit, const Group& group) {
  const fs::path final_path = checkpoint_path(run_directory, contents.step);
  const fs::path temporary = fs::path(run_directory) / cat(kUnfinished, contents.step);
  const bool first = group.rank() == 0;
  group.agree("saving a checkpoint", [&] {
    check_finite(contents);
    if (!first) return;
    fs::create_directories(run_directory);
    check_room(run_directory, contents, group);
    fs::remove_all(temporary);
    fs::create_directory(temporary);
  });
  contents.save_model(temporary.string());
  group.agree("saving a checkpoint", [&] { write_shard(temporary.string(), contents.tensors, group); });
  group.agree("saving a checkpoint", [&] {
    if (!first) return;
    write_json(temporary / "state.json", contents.state);
    write_manifest(temporary, write_index(temporary.string(), group));
    sync_folders(temporary);
    move_into_place(temporary, final_path);
    rotate(run_directory, final_path.string(), total_limit);
  });
  return final_path.string();
}

std::vector<FoundCheckpoint> list_checkpoints(const std::string& run_directory) {
  std::vector<FoundCheckpoint> found;
  if (!fs::is_directory(run_directory)) return found;
  for (const auto& entry : fs::directory_iterator(run_directory))
    if (const auto step = step_of(entry.path().filename().string()); step && entry.is_directory())
      found.push_back({entry.path().string(), *step});
  std::sort(found.begin(), found.end(),
            [](const FoundCheckpoint& a, const FoundCheckpoint& b) { return a.step > b.step; });
  return found;
}

std::optional<std::string> verify_checkpoint(const std::string& path) {
  try {
    const std::vector<ListedFile> listed = read_manifest(path);
    for (const ListedFile& file : listed)
      if (auto problem = compare_file(path, file)) return problem;
    for (const std::string& shard : indexed_shards(path))
      MMADA_CHECK(std::ranges::any_of(listed, [&](const ListedFile& file) { return file.name == shard; }),
                  path, "/manifest.json: field `files`: found no ", shard, ", expected it listed");
  } catch (const std::exception& error) {
    return error.what();
  }
  return std::nullopt;
}

std::optional<FoundCheckpoint> newest_checkpoint(const std::string& run_directory,
                                                 std::vector<std::string>* refused) {
  const std::vector<FoundCheckpoint> found = list_checkpoints(run_directory);
  if (fs::is_directory(run_directory)) remove_unfinished(run_directory);
  for (const FoundCheckpoint& candidate : found) {
    const auto problem = verify_checkpoint(candidate.path);
    if (!problem) return candidate;
    refused->push_back(candidate.path + ": " + *problem);
  }
  return std::nullopt;
}

Json load_checkpoint(const std::string& path, const std::vector<CheckpointTensor>& tensors,
                     const Group& group) {
  read_shards(path, tensors, group);
  return read_json_file((fs::path(path) / "state.json").string(), kLargeJson);
}

}  // namespace mmada
