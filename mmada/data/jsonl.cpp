// SPDX-License-Identifier: MIT
#include "mmada/data/jsonl.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "mmada/core/rng.h"
#include "mmada/data/conversation.h"

namespace mmada {
namespace {

constexpr uint64_t kLongestLine = 64u << 20;

struct JsonlOptions {
  std::string path, format, text_key, image_key;
  bool images = true;
  bool shuffle = true;
};

JsonlOptions parse_options(const Json& json, const std::string& source_name) {
  Fields fields(json, source_name);
  fields.ignore("type");
  JsonlOptions options;
  options.path = fields.string("path");
  options.format = fields.choice("format", {"text", "question", "messages"}, "text");
  options.text_key = fields.string("text_key", "text");
  options.image_key = fields.string("image_key", "image");
  options.images = fields.boolean("images", true);
  options.shuffle = fields.boolean("shuffle", true);
  fields.finish();
  return options;
}

std::vector<ChatMessage> parse_messages(Fields& line, const std::string& place) {
  const Json& list = line.raw("messages");
  if (!list.is_array() || list.empty())
    line.fail("messages", found_text(list), "a list of {\"role\", \"content\"}");
  std::vector<ChatMessage> messages;
  for (const auto& item : list) {
    if (!item.is_object()) line.fail("messages", found_text(item), "objects with \"role\" and \"content\"");
    Fields message(item, place, "messages");
    messages.push_back({message.choice("role", {"user", "assistant", "system"}), message.string("content")});
  }
  return messages;
}

class JsonlSource final : public SampleSource {
 public:
  JsonlSource(JsonlOptions options, uint64_t seed)
      : options_(std::move(options)),
        seed_(seed),
        lines_(options_.path),
        folder_(std::filesystem::path(options_.path).parent_path()) {
    MMADA_CHECK(lines_.size() > 0, options_.path, ": found no line, expected at least one JSON object");
    start_epoch(0);
  }

  Sample next() override {
    if (position_ == lines_.size()) start_epoch(epoch_ + 1);
    const Sample sample = read(order_[position_]);
    ++position_;  // after reading: a line that fails is met again
    return sample;
  }

  Json state() const override {
    return {{"epoch", epoch_}, {"position", position_}, {"lines", lines_.size()}, {"bytes", lines_.bytes()}};
  }

  void restore(const Json& state) override {
    Fields fields(state, options_.path + ": saved position");
    const int64_t epoch = fields.integer("epoch", 0, INT64_MAX);
    const int64_t position = fields.integer("position", 0, lines_.size());
    const int64_t lines = fields.integer("lines", 0, INT64_MAX);
    const int64_t bytes = fields.integer("bytes", 0, INT64_MAX);
    fields.finish();
    MMADA_CHECK(lines == lines_.size() && static_cast<uint64_t>(bytes) == lines_.bytes(), options_.path,
                ": found ", lines_.size(), " lines in ", lines_.bytes(), " bytes, expected the ", lines,
                " in ", bytes, " of the saved position");
    start_epoch(epoch);
    position_ = position;
  }

 private:
  void start_epoch(int64_t epoch) {
    epoch_ = epoch;
    position_ = 0;
    if (options_.shuffle) {
      order_ = Rng(seed_, "jsonl/shuffle", static_cast<uint64_t>(epoch)).permutation(lines_.size());
    } else if (order_.empty()) {
      order_.resize(static_cast<size_t>(lines_.size()));
      for (int64_t i = 0; i < lines_.size(); ++i) order_[i] = i;
    }
  }

  Sample read(int64_t i) const {
    const Json json = lines_.read(i);
    Fields line(json, lines_.place(i));
    Sample sample;
    if (options_.format == "text") sample.text = line.string(options_.text_key);
    if (options_.format == "question")
      sample.text = conversation_text(line.string("question"), line.string("reply"));
    if (options_.format == "messages") sample.text = conversation_text(parse_messages(line, lines_.place(i)));
    if (!options_.images || !line.has(options_.image_key)) return sample;
    const auto path = folder_ / line.string(options_.image_key);
    try {
      sample.image = read_image(path.string());
    } catch (const Error& error) {
      throw Error(cat(lines_.place(i), ": ", error.what()));
    }
    return sample;
  }

  JsonlOptions options_;
  uint64_t seed_;
  JsonLines lines_;
  std::filesystem::path folder_;
  int64_t epoch_ = 0;
  int64_t position_ = 0;
  std::vector<int64_t> order_;
};

}  // namespace

JsonLines::JsonLines(const std::string& path) : file_(path) {
  std::vector<char> buffer(1 << 20);
  Line line{.number = 1};
  bool blank = true;
  const auto end_line = [&](uint64_t end) {
    MMADA_CHECK(end - line.begin <= kLongestLine, path, ":", line.number, ": found a line of ",
                end - line.begin, " bytes, expected at most ", kLongestLine);
    line.end = end;
    if (!blank) lines_.push_back(line);
    line.begin = end + 1;
    ++line.number;
    blank = true;
  };
  for (uint64_t offset = 0; offset < file_.size(); offset += buffer.size()) {
    const uint64_t count = std::min<uint64_t>(buffer.size(), file_.size() - offset);
    file_.read_at(offset, buffer.data(), count);
    for (uint64_t i = 0; i < count; ++i) {
      if (buffer[i] == '\n')
        end_line(offset + i);
      else if (std::strchr(" \t\r", buffer[i]) == nullptr || buffer[i] == '\0')
        blank = false;
    }
  }
  end_line(file_.size());
}

std::string JsonLines::place(int64_t i) const { return cat(file_.path(), ":", lines_[i].number); }

Json JsonLines::read(int64_t i) const {
  const Line& line = lines_[i];
  std::string text(line.end - line.begin, '\0');
  file_.read_at(line.begin, text.data(), text.size());
  Json json = parse_json(text, place(i), kLargeJson);
  MMADA_CHECK(json.is_object(), place(i), ": found ", found_text(json), ", expected a JSON object");
  return json;
}

std::unique_ptr<SampleSource> make_jsonl_source(const Json& options, const std::string& source_name,
                                                uint64_t seed) {
  return std::make_unique<JsonlSource>(parse_options(options, source_name), seed);
}

}  // namespace mmada
