// SPDX-License-Identifier: MIT
#include "mmada/data/tables.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "mmada/core/quote.h"
#include "mmada/core/rng.h"
#include "mmada/data/captions.h"
#include "mmada/data/conversation.h"
#include "mmada/data/picture_records.h"
#include "mmada/data/reasoning_table.h"

namespace mmada {
namespace {

constexpr JsonLimits kVqaJson = {.max_bytes = 1u << 30, .max_values = 1u << 26};
using Turns = std::vector<ChatMessage>;

/// The options of both sources.
struct TableOptions {
  explicit TableOptions(Fields& fields) {
    fields.ignore("type");
    path = fields.string("path");
    images = fields.string("images", std::filesystem::path(path).parent_path().string());
    shuffle = fields.boolean("shuffle", true);
  }
  std::string path, images;
  bool shuffle;
};

/// The path of a picture that a table names.
std::string picture_path(const std::string& folder, const std::string& name, const std::string& place) {
  const std::filesystem::path path(name);
  const bool leaves = name.empty() || path.is_absolute() || name.find('\0') != std::string::npos ||
                      std::ranges::find(path, "..") != path.end();
  MMADA_CHECK(!leaves, place, ": found the picture ", quote(name), ", expected a name inside the folder ",
              quote(folder));
  return (std::filesystem::path(folder) / path).string();
}

std::string without_image_marks(std::string text) {
  static const std::string kMark = "<image>";
  for (size_t at; (at = text.find(kMark)) != std::string::npos;) text.erase(at, kMark.size());
  return text;
}

Turns parse_turns(Fields& item, const std::string& place) {
  const Json& list = item.raw("conversations");
  if (!list.is_array() || list.empty() || list.size() % 2 != 0)
    item.fail("conversations", list.is_array() ? cat(list.size(), " turns") : found_text(list),
              "pairs of turns, human first");
  Turns turns;
  for (const auto& entry : list) {
    Fields turn(entry, place, "conversations");
    const bool human = turns.size() % 2 == 0;
    turn.choice("from", {human ? "human" : "gpt"});
    turns.push_back({human ? "user" : "assistant", without_image_marks(turn.string("value"))});
  }
  return turns;
}

}  // namespace

std::unique_ptr<SampleSource> make_vqa_json_source(const Json& options, const std::string& source_name,
                                                   uint64_t seed) {
  Fields fields(options, source_name);
  const TableOptions table(fields);
  const bool all = fields.choice("turns", {"random", "all"}, "random") == "all";
  fields.finish();
  const Json list = read_json_file(table.path, kVqaJson);
  MMADA_CHECK(list.is_array() && !list.empty(), table.path, ": found ", found_text(list),
              ", expected a list of {\"image\", \"conversations\"}");
  std::vector<std::string> pictures;
  std::vector<Turns> conversations;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = cat(table.path, ": item ", i);
    Fields item(list[i], place);
    pictures.push_back(picture_path(table.images, item.string("image"), place));
    conversations.push_back(parse_turns(item, place));
  }
  auto text = [conversations = std::move(conversations), all, seed](int64_t record, uint64_t n) {
    Turns turns = conversations[record];
    const size_t pairs = turns.size() / 2;
    if (!all) turns.resize(2 * (1 + Rng(seed, "vqa_json/turns", n).below(pairs)));
    return conversation_text(turns);
  };
  return make_records_source(
      std::make_unique<PictureRecords>(table.path, std::move(pictures), std::move(text), Json::object()),
      table.shuffle, "vqa_json", seed);
}

std::unique_ptr<SampleSource> make_cot_csv_source(const Json& options, const std::string& source_name,
                                                  uint64_t seed) {
  Fields fields(options, source_name);
  const TableOptions table(fields);
  const std::string extension = fields.string("extension", "");
  const TurnTerminator terminator = parse_terminator(fields);
  fields.finish();
  std::map<std::string, size_t> number_of;
  std::vector<std::string> pictures;
  std::vector<std::vector<std::string>> texts;  ///< of every picture
  for (auto& row : read_reasoning_table(table.path, terminator)) {
    const auto [place, added] = number_of.emplace(row.image, pictures.size());
    if (added) {
      pictures.push_back(picture_path(table.images, row.image + extension, cat(table.path, ":", row.line)));
      texts.emplace_back();
    }
    texts[place->second].push_back(std::move(row.text));
  }
  auto text = [texts = std::move(texts), seed](int64_t record, uint64_t n) {
    return texts[record][Rng(seed, "cot_csv/row", n).below(texts[record].size())];
  };
  return make_records_source(
      std::make_unique<PictureRecords>(table.path, std::move(pictures), std::move(text), Json::object()),
      table.shuffle, "cot_csv", seed);
}

}  // namespace mmada
