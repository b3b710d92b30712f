// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/core/quote.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/safetensors.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

/// A name that stays inside the directory whatever it is joined to. Links are followed: the Hugging Face
/// cache is made of them.
bool is_plain_file_name(std::string_view name) {
  constexpr std::string_view kEnding = ".safetensors";
  if (name.size() <= kEnding.size() || name.size() > 255 || !name.ends_with(kEnding) || name[0] == '.')
    return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
}

bool is_file(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

std::string find_pickle(const std::string& directory) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const auto ending = entry.path().extension();
    if (ending == ".bin" || ending == ".pt" || ending == ".pth" || ending == ".ckpt")
      found.push_back(entry.path().filename());
  }
  return found.empty() ? std::string() : *std::min_element(found.begin(), found.end());
}

CheckpointFiles from_index(const std::string& directory, const std::string& index_path,
                           const Limits& limits) {
  const auto weight_map =
      parse_checkpoint_index(read_file(index_path, limits.index_bytes), index_path, limits);
  std::map<std::string, size_t> number_of_file;
  for (const auto& [tensor, file] : weight_map) number_of_file[file] = 0;
  CheckpointFiles checkpoint;
  for (auto& [file, number] : number_of_file) {
    const std::string path = directory + "/" + file;
    MMADA_CHECK(is_file(path), index_path, ": names ", quote(file),
                ", which is not in the folder, expected every file it names");
    number = checkpoint.files.size();
    checkpoint.files.push_back(path);
  }
  for (const auto& [tensor, file] : weight_map) checkpoint.file_of_tensor[tensor] = number_of_file[file];
  return checkpoint;
}

}  // namespace

std::map<std::string, std::string> parse_checkpoint_index(std::string_view json, const std::string& source,
                                                          const Limits& limits) {
  const Json index =
      parse_json(json, source, {.max_bytes = limits.index_bytes, .max_values = limits.index_values});
  Fields fields(index, source);
  const Json& weight_map = fields.raw("weight_map");
  if (!weight_map.is_object() || weight_map.empty())
    fields.fail("weight_map", weight_map.is_object() ? "an empty object" : "no object",
                "an object of tensor names to file names");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : weight_map.items()) {
    MMADA_CHECK(file.is_string() && is_plain_file_name(file.get_ref<const std::string&>()), source,
                ": tensor ", quote(tensor), ": found ",
                file.is_string() ? quote(file.get_ref<const std::string&>()) : "no string",
                ", expected the name of a .safetensors file in the same folder");
    files.emplace(tensor, file.get<std::string>());
  }
  return files;
}

CheckpointFiles find_checkpoint_files(const std::string& directory, const Limits& limits) {
  std::error_code error;
  MMADA_CHECK(fs::is_directory(directory, error), directory,
              ": found no folder, expected a checkpoint folder");
  for (const char* stem : {"model", "pytorch_model"}) {
    const std::string path = directory + "/" + stem + ".safetensors";
    if (is_file(path)) return {.files = {path}, .file_of_tensor = {}};
    if (is_file(path + ".index.json")) return from_index(directory, path + ".index.json", limits);
  }
  const std::string pickle = find_pickle(directory);
  MMADA_CHECK(pickle.empty(), directory, ": found the pickled file ", quote(pickle),
              ", expected safetensors (a pickle can run code and is never read); convert it with: "
              "python examples/python/convert_checkpoint.py ",
              directory, " OUT");
  throw Error(cat(directory,
                  ": found no weights, expected model.safetensors, pytorch_model.safetensors or "
                  "model.safetensors.index.json"));
}

}  // namespace mmada
