// SPDX-License-Identifier: MIT
#include "mmada/trainer/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/core/sha256.h"
#include "mmada/trainer/checkpoint_shards.h"
#include "mmada/trainer/checkpoint_stages.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormatVersion = 1;
constexpr std::string_view kPrefix = "checkpoint-";

std::optional<int64_t> step_in(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stopped, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return error == std::errc() && stopped == end && step >= 0 ? std::optional(step) : std::nullopt;
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

std::optional<int64_t> checkpoint_step(const std::string& path) {
  const fs::path folder = fs::path(path) / "";  // whether or not the path ends with a slash
  return step_in(folder.parent_path().filename().string());
}

std::vector<FoundCheckpoint> list_checkpoints(const std::string& run_directory) {
  std::vector<FoundCheckpoint> found;
  if (!fs::is_directory(run_directory)) return found;
  for (const auto& entry : fs::directory_iterator(run_directory))
    if (const auto step = step_in(entry.path().filename().string()); step && entry.is_directory())
      found.push_back({entry.path().string(), *step});
  std::sort(found.begin(), found.end(),
            [](const FoundCheckpoint& a, const FoundCheckpoint& b) { return a.step > b.step; });
  return found;
}

std::optional<std::string> verify_checkpoint(const std::string& path, Wholeness wholeness) {
  try {
    const std::vector<ListedFile> listed = read_manifest(path);
    const auto compare = [&](const auto& wanted) {
      std::optional<std::string> problem;
      for (const ListedFile& file : listed)
        if (!problem && wanted(file)) problem = compare_file(path, file);
      return problem;
    };
    const auto is_index = [](const ListedFile& file) { return file.name == "index.json"; };
    if (auto problem = compare(is_index)) return problem;
    const std::vector<std::string> shards = indexed_shards(path);
    const auto is_wanted = [&](const ListedFile& file) {
      const bool is_shard = std::ranges::count(shards, file.name) > 0;
      return wholeness == Wholeness::kWeights ? is_shard : !is_index(file);
    };
    if (auto problem = compare(is_wanted)) return problem;
    for (const std::string& shard : shards)
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

namespace {

/// Of a checkpoint that need not be whole: null where state.json does not agree with the manifest.
Json state_if_whole(const fs::path& path, MissingParts* missing) {
  for (const ListedFile& file : read_manifest(path))
    if (file.name == "state.json")
      if (auto problem = compare_file(path, file)) {
        missing->reasons.push_back(*problem);
        return nullptr;
      }
  return read_json_file((path / "state.json").string(), kLargeJson);
}

}  // namespace

Json load_checkpoint(const std::string& path, const std::vector<CheckpointTensor>& tensors,
                     const Group& group, MissingParts* missing) {
  read_shards(path, tensors, group, missing);
  std::vector<CheckpointTensor> finite = tensors;
  if (missing != nullptr) std::erase_if(finite, can_begin_anew);  // looked at already
  group.agree("loading a checkpoint",                             // none is saved with such values
              [&] { check_finite(finite, cat(path, " is damaged")); });
  if (missing != nullptr) return state_if_whole(path, missing);
  return read_json_file((fs::path(path) / "state.json").string(), kLargeJson);
}

}  // namespace mmada
