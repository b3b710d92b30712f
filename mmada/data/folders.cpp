// SPDX-License-Identifier: MIT
#include "mmada/data/folders.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <system_error>

#include "mmada/core/quote.h"
#include "mmada/data/captions.h"
#include "mmada/data/picture_records.h"
#include "mmada/data/text_files.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> class_folders(const std::string& path) {
  std::error_code error;
  std::vector<std::string> folders;
  fs::directory_iterator entries(path, error);
  MMADA_CHECK(!error, path, ": the folder cannot be read: ", error.message());
  for (const auto& entry : entries)
    if (entry.is_directory()) folders.push_back(entry.path());
  std::ranges::sort(folders);
  return folders;
}

/// "0: tench" -> {0, "tench"} for every line.
std::map<int64_t, std::string> read_classes(const std::string& path) {
  const std::string text = read_text_file(path);
  std::map<int64_t, std::string> names;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = stripped(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (line.empty()) continue;
    int64_t index = 0;
    const auto [colon, error] = std::from_chars(line.data(), line.data() + line.size(), index);
    const std::string name =
        stripped(std::string_view(line).substr(std::min(line.find(':') + 1, line.size())));
    const bool good = error == std::errc() && *colon == ':' && !name.empty() && index >= 0;
    MMADA_CHECK(good, path, ":", number, ": found ", quote(line), ", expected \"INDEX: NAME\"");
    MMADA_CHECK(names.emplace(index, name).second, path, ":", number, ": found index ", index,
                " a second time, expected each once");
  }
  return names;
}

std::unique_ptr<SampleSource> over(std::string path, std::vector<std::string> pictures,
                                   PictureRecords::TextOf text, bool shuffle, const std::string& stream,
                                   uint64_t seed, int64_t without_text = 0) {
  const Json skipped = without_text > 0 ? Json{{"without_text", without_text}} : Json::object();
  return make_records_source(
      std::make_unique<PictureRecords>(std::move(path), std::move(pictures), std::move(text), skipped),
      shuffle, stream, seed);
}

/// Takes the pictures without a text out of the list and counts them.
template <class HasText>
int64_t leave_out(std::vector<std::string>& pictures, HasText has_text) {
  return static_cast<int64_t>(
      std::erase_if(pictures, [&](const auto& picture) { return !has_text(picture); }));
}

}  // namespace

std::unique_ptr<SampleSource> make_image_folder_source(const Json& options, const std::string& source_name,
                                                       uint64_t seed) {
  Fields fields(options, source_name);
  fields.ignore("type");
  const std::string path = fields.string("path"), classes = fields.string("classes", "");
  const bool shuffle = fields.boolean("shuffle", true);
  fields.finish();
  const auto names = classes.empty() ? std::map<int64_t, std::string>{} : read_classes(classes);
  const auto folders = class_folders(path);
  std::vector<std::string> pictures, texts;
  for (size_t i = 0; i < folders.size(); ++i) {
    const auto name = names.find(static_cast<int64_t>(i));
    MMADA_CHECK(classes.empty() || name != names.end(), classes, ": found no line for index ", i,
                ", the folder ", quote(folders[i]), ", expected a name for each of the ", folders.size(),
                " folders");
    const std::string text = classes.empty() ? fs::path(folders[i]).filename().string() : name->second;
    for (auto& picture : list_pictures(folders[i])) {
      pictures.push_back(std::move(picture));
      texts.push_back(text);
    }
  }
  return over(
      path, std::move(pictures),
      [texts = std::move(texts)](int64_t record, uint64_t) { return texts[record]; }, shuffle, "image_folder",
      seed);
}

std::unique_ptr<SampleSource> make_caption_folder_source(const Json& options, const std::string& source_name,
                                                         uint64_t seed) {
  Fields fields(options, source_name);
  fields.ignore("type");
  const std::string path = fields.string("path");
  const CaptionRules rules(fields, seed);
  const CaptionMap map = open_captions(fields.string("captions", path), rules, fields);
  const bool shuffle = fields.boolean("shuffle", true);
  fields.finish();
  auto pictures = list_pictures(path);
  const auto captions = [map](const std::string& picture) { return map.find(fs::path(picture).stem()); };
  const int64_t without =
      leave_out(pictures, [&](const auto& picture) { return !captions(picture).empty(); });
  auto text = [captions, rules, pictures](int64_t record, uint64_t n) {
    const auto list = captions(pictures[record]);
    MMADA_CHECK(!list.empty(), pictures[record],
                ": found no caption, expected the one that was there before");
    return rules.apply(list, n);
  };
  return over(path, std::move(pictures), std::move(text), shuffle, "caption_folder", seed, without);
}

std::unique_ptr<SampleSource> make_r2i_folder_source(const Json& options, const std::string& source_name,
                                                     uint64_t seed) {
  Fields fields(options, source_name);
  fields.ignore("type");
  const std::string path = fields.string("path");
  const TurnTerminator terminator = parse_terminator(fields);
  const bool shuffle = fields.boolean("shuffle", true);
  fields.finish();
  auto pictures = list_pictures(path);
  const int64_t without = leave_out(pictures, [](const auto& picture) {
    const std::string base = without_ending(picture);
    return is_file(base + ".caption") && is_file(base + ".shortcaption");
  });
  auto text = [terminator, pictures](int64_t record, uint64_t) {
    const std::string base = without_ending(pictures[record]);
    return r2i_text(read_text_file(base + ".shortcaption"), read_text_file(base + ".caption"), terminator);
  };
  return over(path, std::move(pictures), std::move(text), shuffle, "r2i_folder", seed, without);
}

}  // namespace mmada
