// SPDX-License-Identifier: MIT
#include "mmada/published/data_sources.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada::published {
namespace {

// Threads that read ahead: the published num_workers is one number for all sources of a process.
constexpr int kPictureWorkers = 8, kTextWorkers = 2;

/// A data set of the published stages, told by its name in a path.
struct DataSet {
  const char* name_in_path;  ///< lower case, without - and _
  const char* captions;      ///< key in DataPaths::captions; nullptr: the shards hold their texts
  bool reasoning = false;    ///< the texts are a table of questions with reasoning
};
constexpr std::array kDataSets = {
    DataSet{"sa1b", ""},
    DataSet{"cc12m", "cc12m"},
    DataSet{"laion", "laion12m"},
    DataSet{"journeydb", "journeydb"},
    DataSet{"texttoimage2m", nullptr},
    DataSet{"ai2d", "ai2d", true},
    DataSet{"docvqa", "docvqa", true},
    DataSet{"clevr", "clevr", true},
    DataSet{"geo", "geo", true},
};

std::string simplified(const std::string& path) {
  std::string text;
  for (const char c : path)
    if (c != '-' && c != '_') text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

const DataSet& data_set_of(const std::string& path, const std::string& where) {
  const std::string text = simplified(path);
  const auto found = std::find_if(kDataSets.begin(), kDataSets.end(), [&](const DataSet& set) {
    return text.find(set.name_in_path) != std::string::npos;
  });
  std::string names;
  for (const DataSet& set : kDataSets) names += cat(names.empty() ? "" : ", ", set.name_in_path);
  MMADA_CHECK(found != kDataSets.end(), where, ": found ", quote(path),
              ", expected a path that names one of the published data sets (", names, ")");
  return *found;
}

std::string captions_key(const std::string& data_set) {
  return data_set.empty() ? "external_caption_path" : cat("external_", data_set, "_caption_path");
}

const std::string& captions_of(const DataPaths& paths, const std::string& data_set) {
  const auto found = paths.captions.find(data_set);
  MMADA_CHECK(found != paths.captions.end(), paths.source, ": field `dataset.params.", captions_key(data_set),
              "`: found nothing, expected the texts of the data set");
  return found->second;
}

const std::vector<std::string>& shards_of(const DataPaths& paths, const std::string& task) {
  const auto found = paths.shards.find(task);
  MMADA_CHECK(found != paths.shards.end() && !found->second.empty(), paths.source,
              ": field `dataset.params.train_", task,
              "_shards_path_or_url`: found nothing, expected the stage's training data");
  return found->second;
}

Json reasoning_source(const DataPaths& paths, const DataSet& set, const std::string& shards) {
  Json source = {{"type", "webdataset"}, {"path", shards}, {"captions", captions_of(paths, set.captions)}};
  source["terminator"] = "literal";
  source["fit"] = "squash";  // the loader's, for shards of these names
  source["buffer"] = paths.shuffle_buffer;
  source["on_error"] = "skip";
  source["workers"] = kPictureWorkers;
  return source;
}

Json caption_source(const DataPaths& paths, const DataSet& set, const std::string& shards, Use use) {
  Json source = {{"type", "webdataset"}, {"path", shards}};
  if (set.captions == nullptr)
    source["text_key"] = "prompt";
  else
    source["captions"] = captions_of(paths, set.captions);
  source["use"] = use == Use::kGeneration ? "generation" : "understanding";
  if (use == Use::kUnderstanding) {
    source["questions"] = "data/caption_questions.json";
    source["terminator"] = "literal";
  }
  source["buffer"] = paths.shuffle_buffer;
  source["on_error"] = "skip";
  source["workers"] = kPictureWorkers;
  return source;
}

/// One path or a list of them; none where the key is absent.
std::vector<std::string> paths_of(Fields& params, const std::string& key) {
  if (!params.has(key)) {
    params.ignore(key);
    return {};
  }
  if (params.raw(key).is_array()) return params.strings(key);
  return {params.string(key)};
}

/// Adds the value of `key` under the data set's name where there is one.
void add_path(Fields& params, const std::string& key, const std::string& data_set,
              std::map<std::string, std::string>* paths) {
  if (params.has(key)) paths->emplace(data_set, params.string(key));
  params.ignore(key);
}

}  // namespace

DataPaths read_data_paths(Fields& params, const std::string& source) {
  DataPaths paths{.source = source, .shards = {}, .captions = {}, .images = {}};
  for (const char* task : {"t2i", "mmu", "lm", "instruct"})
    paths.shards[task] = paths_of(params, cat("train_", task, "_shards_path_or_url"));
  for (const char* set :
       {"", "journeydb", "laion12m", "cc12m", "ai2d", "clevr", "docvqa", "geo", "vqa", "clevr2", "geo170k"})
    add_path(params, captions_key(set), set, &paths.captions);
  for (const char* set : {"vqa", "clevr2", "geo170k"})
    add_path(params, cat(set, "_images_path"), set, &paths.images);
  paths.shuffle_buffer = params.integer("shuffle_buffer_size", 1, 1 << 24, paths.shuffle_buffer);
  return paths;
}

Json mixture(const std::vector<WeightedSource>& sources) {
  if (sources.size() == 1) return sources.front().source;
  Json list = Json::array();
  for (const auto& [weight, source] : sources) list.push_back({{"weight", weight}, {"source", source}});
  return {{"type", "mixture"}, {"sources", list}};
}

Json picture_source(const DataPaths& paths, const std::string& task, Use use) {
  std::vector<WeightedSource> sources;
  const std::string where = cat(paths.source, ": field `dataset.params.train_", task, "_shards_path_or_url`");
  for (const std::string& path : shards_of(paths, task)) {
    const DataSet& set = data_set_of(path, where);
    MMADA_CHECK(!set.reasoning || use == Use::kUnderstanding, where, ": found ", quote(path),
                ", which holds questions with reasoning, expected captioned pictures");
    sources.push_back(
        {1.0, set.reasoning ? reasoning_source(paths, set, path) : caption_source(paths, set, path, use)});
  }
  return mixture(sources);
}

Json class_folder_source(const DataPaths& paths) {
  const std::vector<std::string>& folders = shards_of(paths, "t2i");
  MMADA_CHECK(folders.size() == 1, paths.source,
              ": field `dataset.params.train_t2i_shards_path_or_url`: found ", folders.size(),
              " paths, expected the one folder of imagenet1k");
  const auto folder = std::filesystem::path(folders.front()).lexically_normal();
  const auto parent = (folder.has_filename() ? folder : folder.parent_path()).parent_path();
  return {{"type", "image_folder"},
          {"path", folders.front()},
          {"classes", (parent / "classes.txt").string()},
          {"workers", kPictureWorkers}};
}

Json text_source(const DataPaths& paths, const std::string& task, const std::string& format) {
  const std::vector<std::string>& files = shards_of(paths, task);
  Json source = {{"type", "parquet"}};
  if (files.size() == 1)
    source["path"] = files.front();
  else
    source["path"] = files;
  source["format"] = format;
  if (format == "document") source["max_characters"] = 8000;
  source["workers"] = kTextWorkers;
  return source;
}

Json conversation_source(const DataPaths& paths, const std::string& data_set) {
  const auto images = paths.images.find(data_set);
  MMADA_CHECK(images != paths.images.end(), paths.source, ": field `dataset.params.", data_set,
              "_images_path`: found nothing, expected the folder of its pictures");
  Json source = {{"type", "vqa_json"},
                 {"path", captions_of(paths, data_set)},
                 {"images", images->second},
                 {"turns", "random"}};
  if (data_set == "geo170k")
    source["fit"] = "pad";  // the script's; the other conversations' pictures are clipped
  return source;
}

}  // namespace mmada::published
