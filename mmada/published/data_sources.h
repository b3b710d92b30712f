// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mmada/core/json.h"

namespace mmada::published {

/// The paths under dataset.params of a published settings file.
struct DataPaths {
  std::string source;                                      ///< the file, for errors
  std::map<std::string, std::vector<std::string>> shards;  ///< by task: t2i, mmu, lm, instruct
  std::map<std::string, std::string> captions;  ///< by data set: "" (the common one), laion12m, ai2d, ...
  std::map<std::string, std::string> images;    ///< by data set: vqa, clevr2, geo170k
  int64_t shuffle_buffer = 1000;                ///< samples
};

/// Reads them, and the shuffle buffer's size, out of dataset.params; other keys stay the caller's. `source`
/// names the file in errors.
DataPaths read_data_paths(Fields& params, const std::string& source);

/// What a picture's caption is used for.
enum class Use { kGeneration, kUnderstanding };

/// Shards of pictures as a source (mmada/data/README.md), by the data set that each path names: captioned
/// ones, and those of ai2d, docvqa, clevr and geo with their tables of reasoning, which are squashed
/// (SPEC 2). Of several it makes a mixture with equal weights.
Json picture_source(const DataPaths& paths, const std::string& task, Use use);
/// One folder per class, with the names in classes.txt beside it.
Json class_folder_source(const DataPaths& paths);
/// Parquet files of one task: whole documents, or conversations (format "document", "chat").
Json text_source(const DataPaths& paths, const std::string& task, const std::string& format);
/// Conversations about pictures: data sets vqa, clevr2, geo170k.
Json conversation_source(const DataPaths& paths, const std::string& data_set);

struct WeightedSource {
  double weight;
  Json source;
};
/// A mixture; a single source stands for itself.
Json mixture(const std::vector<WeightedSource>& sources);

}  // namespace mmada::published
