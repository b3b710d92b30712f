// SPDX-License-Identifier: MIT
#include "mmada/model/grow_vocabulary.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/safetensors_writer.h"
#include "mmada/model/open_checkpoint.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

constexpr double kCovarianceScale = 1e-9;  // SPEC 1.6
constexpr int64_t kRowsAtOnce = 1024;

/// Calls what(part_PD) with the rows in fp64, part by part.
template <class What>
void each_part(const at::Tensor& rows_ND, What&& what) {
  for (int64_t begin = 0; begin < rows_ND.size(0); begin += kRowsAtOnce)
    what(rows_ND.narrow(0, begin, std::min(kRowsAtOnce, rows_ND.size(0) - begin)).to(at::kDouble));
}

/// Where a stored name means the embedding or the head; empty otherwise.
std::string vocabulary_matrix(const std::string& name) {
  constexpr std::string_view kPrefix = "model.";
  const std::string bare = name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
  return bare == "transformer.wte.weight" || bare == "transformer.ff_out.weight" ? bare : "";
}

/// A folder that is filled under a temporary name beside its own; without commit() it is removed.
class StagedFolder {
 public:
  explicit StagedFolder(const std::string& path) : path_(fs::absolute(path).lexically_normal()) {
    if (!path_.has_filename()) path_ = path_.parent_path();
    MMADA_CHECK(!fs::exists(path_), path, ": found it there already, expected a name that is free");
    MMADA_CHECK(fs::is_directory(path_.parent_path()), path, ": found no folder ",
                path_.parent_path().string(), ", expected one to make it in");
    std::error_code error;
    const fs::path name = path_.parent_path() / cat('.', path_.filename().string(), '.', ::getpid(), ".tmp");
    const bool made = fs::create_directory(name, error);
    MMADA_CHECK(made, name.string(), ": cannot be made: ", error ? error.message() : "it is there already");
    staged_ = name;  // from here on it is ours to remove
  }
  ~StagedFolder() {
    std::error_code ignored;  // what cannot be removed stays under its temporary name
    if (!staged_.empty()) fs::remove_all(staged_, ignored);
  }
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  std::string file(const std::string& name) const { return (staged_ / name).string(); }
  void commit() {
    sync_directory(staged_.string());
    std::error_code error;
    fs::rename(staged_, path_, error);
    MMADA_CHECK(!error, path_.string(), ": cannot be named so: ", error.message());
    staged_.clear();
    sync_directory(path_.parent_path().string());
  }

 private:
  fs::path path_, staged_;
};

at::Tensor stored_tensor(const SafetensorsFile& file, const TensorEntry& entry) {
  const at::Tensor tensor = at::empty(entry.shape, scalar_type_of(entry.dtype));
  file.read(entry, tensor.mutable_data_ptr());
  return tensor;
}

/// One stored file again, its vocabulary matrices grown. Returns those.
std::vector<GrownMatrix> grow_file(const SafetensorsFile& file, const std::string& path, bool tied,
                                   const GrowOptions& options) {
  std::vector<TensorOutline> outlines;
  for (const TensorEntry& entry : file.tensors()) {
    outlines.push_back({entry.name, entry.dtype, entry.shape});
    if (!vocabulary_matrix(entry.name).empty()) outlines.back().shape[0] = options.vocab_size;
  }
  SafetensorsWriter out(path, outlines, file.metadata());
  std::vector<GrownMatrix> grown;
  for (const TensorEntry& entry : file.tensors()) {
    const std::string kind = vocabulary_matrix(entry.name);
    const at::Tensor old_VD = stored_tensor(file, entry);
    out.write(old_VD.const_data_ptr(), old_VD.nbytes());
    if (kind.empty()) continue;
    // A head that is stored although it is tied draws what the embedding draws.
    Rng rng(options.seed, "vocabulary/" + (tied ? "transformer.wte.weight" : kind));
    const NewRows added = draw_new_rows(old_VD, options.vocab_size - old_VD.size(0), rng, entry.name);
    const at::Tensor rows = added.rows_ND.to(old_VD.scalar_type());
    out.write(rows.const_data_ptr(), rows.nbytes());
    grown.push_back({entry.name, old_VD.size(0), rows.nbytes(), added.positive_definite});
  }
  out.commit();
  return grown;
}

Json grown_config(const OpenCheckpoint& open, const std::string& source, const GrowOptions& options) {
  Json config = open.json;
  config["vocab_size"] = config["embedding_size"] = config["new_vocab_size"] = options.vocab_size;
  if (!config.contains("llm_vocab_size")) config["llm_vocab_size"] = open.config.vocab_size;
  config["codebook_size"] = options.codebook_size;
  parse_transformer_config(config, source);
  make_token_layout(config, open.tokenizer.get(), source);
  return config;
}

bool is_weights(const std::string& name) {
  constexpr std::array kEndings = {".safetensors", ".index.json", ".bin", ".pt", ".pth", ".ckpt"};
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](const char* ending) { return name.ends_with(ending); });
}

/// Files beside the weights as they are, and the index, if any, with the total that has grown.
void copy_other_files(const std::string& directory, uint64_t added_bytes, const StagedFolder& output) {
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string(), path = entry.path().string();
    if (!entry.is_regular_file() || name == "config.json") continue;
    if (name.ends_with(".safetensors.index.json")) {
      Json index = read_json_file(path, kLargeJson);
      const Json::json_pointer total("/metadata/total_size");
      if (index.contains(total) && index[total].is_number_unsigned())
        index[total] = index[total].get<uint64_t>() + added_bytes;
      write_file(output.file(name), index.dump(2) + "\n");
    } else if (!is_weights(name)) {
      write_file(output.file(name), read_file(path));
    }
  }
}

}  // namespace

NewRows draw_new_rows(const at::Tensor& old_VD, int64_t count, Rng& rng, const std::string& name) {
  const int64_t rows = old_VD.size(0), width = old_VD.size(1);
  const auto fp64 = at::TensorOptions().dtype(at::kDouble);
  at::Tensor mean_D = at::zeros({width}, fp64);
  each_part(old_VD, [&](const at::Tensor& part_PD) { mean_D += part_PD.sum(0); });
  mean_D /= static_cast<double>(rows);
  MMADA_CHECK(mean_D.isfinite().all().item<bool>(), name,
              ": found a row that is not finite, expected finite weights");
  at::Tensor covariance_DD = at::zeros({width, width}, fp64);
  each_part(old_VD, [&](const at::Tensor& part_PD) {
    const at::Tensor centred_PD = part_PD - mean_D;
    covariance_DD.addmm_(centred_PD.t(), centred_PD);
  });
  covariance_DD *= kCovarianceScale / static_cast<double>(rows);
  const auto [factor_DD, failed] = at::linalg_cholesky_ex(covariance_DD);
  NewRows added{.rows_ND = mean_D.expand({count, width}).clone(at::MemoryFormat::Contiguous),
                .positive_definite = failed.item<int>() == 0};
  if (!added.positive_definite) return added;
  for (int64_t begin = 0; begin < count; begin += kRowsAtOnce) {
    const at::Tensor noise_PD = at::empty({std::min(kRowsAtOnce, count - begin), width}, fp64);
    auto* const noise = noise_PD.mutable_data_ptr<double>();
    for (int64_t i = 0; i < noise_PD.numel(); ++i) noise[i] = rng.normal();
    added.rows_ND.narrow(0, begin, noise_PD.size(0)).addmm_(noise_PD, factor_DD.t());
  }
  return added;
}

std::vector<GrownMatrix> grow_vocabulary(const std::string& directory, const std::string& output,
                                         const GrowOptions& options) {
  const OpenCheckpoint open = open_checkpoint(directory);
  const std::string source = directory + "/config.json";
  MMADA_CHECK(options.vocab_size > open.config.vocab_size, source, ": field `vocab_size`: found ",
              open.config.vocab_size, ", expected fewer than the ", options.vocab_size, " it is to grow to");
  StagedFolder staged(output);
  write_file(staged.file("config.json"), grown_config(open, source, options).dump(2) + "\n");
  std::vector<GrownMatrix> grown;
  for (const SafetensorsFile& file : open.reader.files()) {
    const std::string path = staged.file(fs::path(file.path()).filename().string());
    const auto matrices = grow_file(file, path, open.config.tie_word_embeddings, options);
    grown.insert(grown.end(), matrices.begin(), matrices.end());
  }
  uint64_t added_bytes = 0;
  for (const GrownMatrix& matrix : grown) added_bytes += matrix.added_bytes;
  copy_other_files(directory, added_bytes, staged);
  staged.commit();
  return grown;
}

}  // namespace mmada
