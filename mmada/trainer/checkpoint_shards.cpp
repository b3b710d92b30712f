// SPDX-License-Identifier: MIT
#include "mmada/trainer/checkpoint_shards.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/core/sha256.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/safetensors.h"
#include "mmada/model/checkpoint.h"
#include "mmada/trainer/checkpoint_stages.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormatVersion = 1;
constexpr int64_t kMaxElements = int64_t{1} << 50;

std::string shard_name(int64_t rank, int64_t size) {
  return cat("shard-", rank, "-of-", size, ".safetensors");
}
std::string note_name(int64_t rank, int64_t size) { return cat(".shard-", rank, "-of-", size, ".json"); }
std::string entry_name(const CheckpointTensor& tensor) { return tensor.name + "/" + tensor.kind; }

/// The part of a parameter that lies in one shard.
struct Slice {
  int64_t shard = 0;
  Span elements;
};

struct IndexedParameter {
  std::vector<int64_t> shape;
  std::vector<std::string> kinds;
  std::vector<Slice> slices;
};

struct Index {
  std::vector<std::string> shards;
  std::map<std::string, IndexedParameter> parameters;
};

/// What a rank's shard holds of each parameter, as its note and the index say it.
Json pieces_json(const std::vector<CheckpointTensor>& tensors) {
  Json pieces = Json::object();
  for (const CheckpointTensor& tensor : tensors) {
    Json& piece = pieces[tensor.name];
    piece["shape"] = tensor.shape;
    piece["kinds"].push_back(tensor.kind);
    piece["begin"] = tensor.offset;
    piece["end"] = tensor.offset + tensor.tensor.numel();
  }
  return pieces;
}

Slice parse_slice(const Json& json, const std::string& source, const std::string& path, size_t shards,
                  int64_t elements) {
  Fields fields(json, source, path);
  Slice slice;
  slice.shard = fields.integer("shard", 0, static_cast<int64_t>(shards) - 1);
  slice.elements.begin = fields.integer("begin", 0, elements);
  slice.elements.end = fields.integer("end", slice.elements.begin, elements);
  fields.finish();
  return slice;
}

IndexedParameter parse_parameter(const Json& json, const std::string& source, const std::string& path,
                                 size_t shards) {
  Fields fields(json, source, path);
  IndexedParameter parameter;
  parameter.shape = fields.integers("shape", 0, kMaxElements);
  parameter.kinds = fields.strings("kinds");
  const Json& slices = fields.raw("slices");
  if (!slices.is_array()) fields.fail("slices", found_text(slices), "a list");
  fields.finish();
  const int64_t elements = c10::multiply_integers(parameter.shape);
  for (size_t i = 0; i < slices.size(); ++i)
    parameter.slices.push_back(
        parse_slice(slices[i], source, cat(path, ".slices[", i, "]"), shards, elements));
  return parameter;
}

Index read_index(const fs::path& directory) {
  const std::string source = (directory / "index.json").string();
  const Json json = read_json_file(source, kLargeJson);
  Fields fields(json, source);
  fields.integer("format_version", kFormatVersion, kFormatVersion);
  Index index;
  index.shards = fields.strings("shards");
  for (const std::string& name : index.shards)
    MMADA_CHECK(fs::path(name).filename() == name, source, ": field `shards`: found ", quote(name),
                ", expected file names");
  const Json& parameters = fields.raw("parameters");
  if (!parameters.is_object()) fields.fail("parameters", found_text(parameters), "an object of parameters");
  fields.finish();
  for (const auto& [name, value] : parameters.items())
    index.parameters[name] =
        parse_parameter(value, source, "parameters." + printable(name), index.shards.size());
  return index;
}

bool is_average(const CheckpointTensor& tensor) { return tensor.kind == "ema"; }

/// What keeps the index from filling these tensors; empty where nothing does.
std::string misfits(const Index& index, const std::vector<CheckpointTensor>& tensors, bool alone) {
  std::string problems;
  std::set<std::string> wanted;
  for (const CheckpointTensor& tensor : tensors) {
    wanted.insert(entry_name(tensor));
    const auto found = index.parameters.find(tensor.name);
    const bool stored =
        found != index.parameters.end() && std::ranges::count(found->second.kinds, tensor.kind) > 0;
    if (!stored)
      problems += "\n  missing " + entry_name(tensor);
    else if (found->second.shape != tensor.shape)
      problems += cat("\n  ", entry_name(tensor), ": found shape ", at::IntArrayRef(found->second.shape),
                      ", expected ", at::IntArrayRef(tensor.shape));
  }
  for (const auto& [name, parameter] : index.parameters)
    for (const std::string& kind : parameter.kinds)
      if (alone && !wanted.contains(name + "/" + kind)) problems += "\n  unexpected " + name + "/" + kind;
  return problems;
}

int64_t elements_of(const Index& index) {
  int64_t total = 0;
  for (const auto& [name, parameter] : index.parameters)
    total += c10::multiply_integers(parameter.shape) * static_cast<int64_t>(parameter.kinds.size());
  return total;
}

class ShardFiles {
 public:
  ShardFiles(const fs::path& directory, const Index& index)
      : directory_(directory), index_(index), files_(index.shards.size()) {}

  /// Fills the tensor from every slice that overlaps it.
  void read(const CheckpointTensor& tensor) {
    const at::Tensor flat = tensor.tensor.view({-1});
    int64_t filled = 0;
    for (const Slice& slice : index_.parameters.at(tensor.name).slices) {
      const int64_t begin = std::max(slice.elements.begin, tensor.offset);
      const int64_t end = std::min(slice.elements.end, tensor.offset + flat.numel());
      if (begin >= end) continue;
      read_part(slice, entry_name(tensor), {begin - slice.elements.begin, end - slice.elements.begin},
                flat.narrow(0, begin - tensor.offset, end - begin));
      filled += end - begin;
    }
    MMADA_CHECK(filled == flat.numel(), directory_.string(), "/index.json: ", entry_name(tensor),
                ": found slices of ", filled, " elements, expected ", flat.numel());
  }

 private:
  void read_part(const Slice& slice, const std::string& name, Span part, const at::Tensor& destination) {
    auto& file = files_[slice.shard];
    if (!file) file.emplace((directory_ / index_.shards[slice.shard]).string());
    const TensorEntry* entry = file->find(name);
    MMADA_CHECK(entry != nullptr, file->path(), ": found no ", quote(name),
                ", expected it as the index says");
    MMADA_CHECK(tensor_bytes({slice.elements.size()}, entry->dtype) == entry->end - entry->begin,
                file->path(), ": ", quote(name), ": found ", entry->end - entry->begin, " bytes, expected ",
                slice.elements.size(), " elements as the index says");
    const size_t size = dtype_size(entry->dtype);
    const at::Tensor staged = at::empty({part.size()}, scalar_type_of(entry->dtype));
    file->read(
        {name, entry->dtype, {part.size()}, entry->begin + part.begin * size, entry->begin + part.end * size},
        staged.data_ptr());
    at::Tensor(destination).copy_(staged);
  }

  fs::path directory_;
  const Index& index_;
  std::vector<std::optional<SafetensorsFile>> files_;
};

}  // namespace

void write_shard(const std::string& directory, const std::vector<CheckpointTensor>& tensors,
                 const Group& group) {
  std::vector<at::Tensor> alive;
  std::vector<TensorToWrite> written;
  for (const CheckpointTensor& tensor : tensors) {
    alive.push_back(tensor.tensor.detach().to(at::kCPU).contiguous());
    const at::Tensor& values = alive.back();
    written.push_back(
        {entry_name(tensor), dtype_of(values.scalar_type()), {values.numel()}, values.const_data_ptr()});
  }
  const fs::path path = fs::path(directory) / shard_name(group.rank(), group.size());
  write_safetensors(path.string(), written);
  const Json note = {{"bytes", fs::file_size(path)},
                     {"sha256", sha256_file(path.string())},
                     {"parameters", pieces_json(tensors)}};
  write_file((fs::path(directory) / note_name(group.rank(), group.size())).string(), note.dump());
}

std::vector<ListedFile> write_index(const std::string& directory, const Group& group) {
  Json parameters = Json::object(), names = Json::array();
  std::vector<ListedFile> shards;
  for (int rank = 0; rank < group.size(); ++rank) {
    const fs::path path = fs::path(directory) / note_name(rank, group.size());
    const Json note = read_json_file(path.string(), kLargeJson);
    shards.push_back({shard_name(rank, group.size()), note.at("bytes"), note.at("sha256")});
    names.push_back(shards.back().name);
    for (const auto& [name, piece] : note.at("parameters").items()) {
      Json& entry = parameters[name];
      entry["shape"] = piece.at("shape");
      entry["kinds"] = piece.at("kinds");
      entry["slices"].push_back({{"shard", rank}, {"begin", piece.at("begin")}, {"end", piece.at("end")}});
    }
    fs::remove(path);
  }
  const Json index = {{"format_version", kFormatVersion}, {"shards", names}, {"parameters", parameters}};
  write_file((fs::path(directory) / "index.json").string(), index.dump(1) + "\n");
  return shards;
}

std::vector<std::string> indexed_shards(const std::string& directory) { return read_index(directory).shards; }

bool can_begin_anew(const CheckpointTensor& tensor) {
  return is_average(tensor) || tensor.kind.starts_with("exp_avg");
}

namespace {

/// Those that the shards do not hold, or not whole and finite, are named in `missing`.
void read_what_is_there(const std::string& directory, const std::vector<CheckpointTensor>& tensors,
                        const Group& group, MissingParts* missing) {
  std::vector<CheckpointTensor> optional = tensors, needed = tensors;
  std::erase_if(optional, [](const CheckpointTensor& tensor) { return !can_begin_anew(tensor); });
  std::erase_if(needed, can_begin_anew);
  group.agree("loading a checkpoint", [&] {
    const Index index = read_index(directory);
    const std::string problems = misfits(index, needed, /*alone=*/false);
    MMADA_CHECK(problems.empty(), directory, ": its weights do not fit this run:", problems);
    ShardFiles files(directory, index);
    for (const CheckpointTensor& tensor : needed) files.read(tensor);
    for (const CheckpointTensor& tensor : optional) {
      std::string problem = misfits(index, {tensor}, /*alone=*/false);
      problem.erase(0, problem.find_first_not_of("\n "));
      try {
        if (problem.empty()) files.read(tensor), check_finite({tensor}, "it is damaged");
      } catch (const Error& error) {
        problem = error.what();
      }
      if (problem.empty()) continue;
      (is_average(tensor) ? missing->averages : missing->moments) = true;
      missing->reasons.push_back(cat(directory, ": ", problem));
    }
  });
  const auto found = group.largest({missing->moments ? 1 : 0, missing->averages ? 1 : 0});
  missing->moments = found[0] > 0, missing->averages = found[1] > 0;
}

}  // namespace

void read_shards(const std::string& directory, const std::vector<CheckpointTensor>& tensors,
                 const Group& group, MissingParts* missing) {
  const at::NoGradGuard no_grad;
  if (missing != nullptr) return read_what_is_there(directory, tensors, group, missing);
  Index index;
  group.agree("loading a checkpoint", [&] {
    index = read_index(directory);
    const std::string problems = misfits(index, tensors, group.size() == 1);
    MMADA_CHECK(problems.empty(), directory, ": does not fit this run:", problems);
  });
  double own = 0;
  for (const CheckpointTensor& tensor : tensors) own += static_cast<double>(tensor.tensor.numel());
  const auto elements = static_cast<int64_t>(group.sum({own}).front());
  MMADA_CHECK(elements == elements_of(index), directory, ": found ", elements_of(index),
              " elements of parameters and optimizer, expected this run's ", elements);
  group.agree("loading a checkpoint", [&] {
    ShardFiles files(directory, index);
    for (const CheckpointTensor& tensor : tensors) files.read(tensor);
  });
}

}  // namespace mmada
