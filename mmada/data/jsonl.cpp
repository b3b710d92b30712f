// SPDX-License-Identifier: MIT
#include "mmada/data/jsonl.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "mmada/data/conversation.h"
#include "mmada/data/records.h"

namespace mmada {
namespace {

constexpr uint64_t kLongestLine = 64u << 20;

struct JsonlOptions {
  std::string path, format, text_key, image_key;
  std::vector<std::string> required;
  bool images = true;
  bool shuffle = true;
};

JsonlOptions parse_options(const Json& json, const std::string& source_name) {
  Fields fields(json, source_name);
  fields.ignore("type");
  JsonlOptions options;
  options.path = fields.string("path");
  options.format = fields.choice("format", {"text", "question", "messages", "prompt"}, "text");
  options.text_key = fields.string("text_key", "text");
  options.image_key = fields.string("image_key", "image");
  options.required = fields.strings("required", std::vector<std::string>{});
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

void read_prompt(Fields& line, Sample* sample) {
  sample->text = line.string("prompt");
  if (sample->text.empty()) line.fail("prompt", "nothing", "what the user says, or a caption");
  const Json& answer = line.raw("answer");
  if (answer.is_string())
    sample->answer = answer.get<std::string>();
  else if (answer.is_number())
    sample->answer = answer.dump();
  else if (!answer.is_null())
    line.fail("answer", found_text(answer), "a string or a number");
  if (!line.has("metadata")) return;
  sample->metadata = line.raw("metadata");
  if (!sample->metadata.is_object()) line.fail("metadata", found_text(sample->metadata), "an object");
}

class JsonlRecords final : public Records {
 public:
  explicit JsonlRecords(JsonlOptions options)
      : options_(std::move(options)),
        lines_(options_.path),
        folder_(std::filesystem::path(options_.path).parent_path()) {
    MMADA_CHECK(lines_.size() > 0, options_.path, ": found no line, expected at least one JSON object");
  }

  std::vector<int64_t> blocks() const override { return {lines_.size()}; }
  Json extent() const override { return {{"lines", lines_.size()}, {"bytes", lines_.bytes()}}; }
  std::string name() const override { return options_.path; }

  std::optional<Sample> read(int64_t i, uint64_t) const override {
    const Json json = lines_.read(i);
    Fields line(json, lines_.place(i));
    for (const std::string& field : options_.required)
      if (!line.has(field)) line.fail(field, "nothing", "a value in every line");
    Sample sample;
    if (options_.format == "text") sample.text = line.string(options_.text_key);
    if (options_.format == "question")
      sample.text = conversation_text(line.string("question"), line.string("reply"));
    if (options_.format == "messages") sample.text = conversation_text(parse_messages(line, lines_.place(i)));
    if (options_.format == "prompt") read_prompt(line, &sample);
    if (!options_.images || !line.has(options_.image_key)) return sample;
    const auto path = folder_ / line.string(options_.image_key);
    try {
      sample.image = read_image(path.string());
    } catch (const Error& error) {
      throw Error(cat(lines_.place(i), ": ", error.what()));
    }
    return sample;
  }

 private:
  JsonlOptions options_;
  JsonLines lines_;
  std::filesystem::path folder_;
};

}  // namespace

Json with_pictures_required(Json source) {
  const auto text = [&](const char* key, const char* fallback) {
    return source.contains(key) && source[key].is_string() ? source[key].get<std::string>() : fallback;
  };
  if (!source.is_object()) return source;
  if (text("type", "") == "jsonl")
    if (Json& required = source["required"]; required.is_null() || required.is_array())
      required.push_back(text("image_key", "image"));
  if (source.contains("sources") && source["sources"].is_array())
    for (Json& part : source["sources"])
      if (part.is_object() && part.contains("source"))
        part["source"] = with_pictures_required(std::move(part["source"]));
  return source;
}

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
  JsonlOptions parsed = parse_options(options, source_name);
  const bool shuffle = parsed.shuffle;
  return make_records_source(std::make_unique<JsonlRecords>(std::move(parsed)), shuffle, "jsonl", seed);
}

}  // namespace mmada
