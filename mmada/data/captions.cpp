// SPDX-License-Identifier: MIT
#include "mmada/data/captions.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "mmada/core/quote.h"
#include "mmada/data/picture_records.h"
#include "mmada/data/reasoning_table.h"
#include "mmada/data/text_files.h"

namespace mmada {
namespace {

constexpr std::string_view kPerson = "<person>";

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || (c & 0x80) != 0; }

/// Where commas, blanks and "and"s from `at` on end.
size_t skip_joiners(std::string_view text, size_t at) {
  while (at < text.size()) {
    if (text[at] == ',' || is_blank(text[at]))
      ++at;
    else if (text.substr(at).starts_with("and"))
      at += 3;
    else
      break;
  }
  return at;
}

std::vector<std::string> string_list(const Json& json, const std::string& place) {
  const auto is_string = [](const Json& item) { return item.is_string(); };
  MMADA_CHECK(json.is_array() && !json.empty() && std::all_of(json.begin(), json.end(), is_string), place,
              ": found ", found_text(json), ", expected a list of one or more strings");
  return json.get<std::vector<std::string>>();
}

}  // namespace

std::string replace_person_tokens(std::string_view text, Rng& rng) {
  static constexpr std::array<std::string_view, 3> kWords = {"a person", "someone", "somebody"};
  std::string clean;
  size_t at = 0;
  for (size_t found; (found = text.find(kPerson, at)) != std::string_view::npos;) {
    clean += text.substr(at, found - at);
    size_t end = found + kPerson.size();
    bool several = false;
    for (size_t next; text.substr(next = skip_joiners(text, end)).starts_with(kPerson); several = true)
      end = next + kPerson.size();
    if (!clean.empty() && is_word(clean.back())) clean += ' ';
    clean += several ? "people" : kWords[rng.below(kWords.size())];
    if (end < text.size() && is_word(text[end])) clean += ' ';
    at = end;
  }
  return clean.append(text.substr(at));
}

std::string first_sentence(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const bool mark = text[i] == '.' || text[i] == '?' || text[i] == '!';
    if (mark && (i + 1 == text.size() || is_blank(text[i + 1]))) return stripped(text.substr(0, i + 1));
  }
  return stripped(text);
}

std::string without_caption_prefix(std::string_view caption) {
  static constexpr std::array<std::string_view, 15> kPrefixes = {"The image features ",
                                                                 "The image presents ",
                                                                 "The image you've sent is, ",
                                                                 "In the center of the image, ",
                                                                 "The image showcases ",
                                                                 "The image is ",
                                                                 "The image captures ",
                                                                 "In the given image ",
                                                                 "The image portrays ",
                                                                 "In the image, ",
                                                                 "In this image, we see ",
                                                                 "The image depicts ",
                                                                 "This is ",
                                                                 "In this image, ",
                                                                 "This image captures "};
  for (const auto prefix : kPrefixes)
    if (caption.starts_with(prefix)) return std::string(caption.substr(prefix.size()));
  return std::string(caption);
}

TurnTerminator parse_terminator(Fields& fields) {
  const std::string name = fields.choice("terminator", {"token", "literal"}, "token");
  return name == "token" ? TurnTerminator::kToken : TurnTerminator::kLiteral;
}

CaptionRules::CaptionRules(Fields& fields, uint64_t seed) : questions_{kCaptionQuestion}, seed_(seed) {
  const std::string use = fields.choice("use", {"plain", "generation", "understanding"}, "plain");
  use_ = use == "plain"        ? CaptionUse::kPlain
         : use == "generation" ? CaptionUse::kGeneration
                               : CaptionUse::kUnderstanding;
  terminator_ = parse_terminator(fields);
  const std::string path = fields.string("questions", "");
  if (!path.empty()) questions_ = string_list(read_json_file(path), path);
}

std::string CaptionRules::apply(const std::vector<std::string>& captions, uint64_t n) const {
  Rng rng(seed_, "caption", n);
  const std::string& caption = captions[captions.size() == 1 ? 0 : rng.below(captions.size())];
  switch (use_) {
    case CaptionUse::kPlain:
      return caption;
    case CaptionUse::kGeneration:
      return without_caption_prefix(rng.uniform() < 0.5 ? first_sentence(caption) : caption);
    case CaptionUse::kUnderstanding:
      return caption_text(questions_[rng.below(questions_.size())], caption, terminator_);
  }
  return caption;
}

CaptionMap::CaptionMap(std::string path, TurnTerminator terminator) : path_(std::move(path)) {
  std::error_code error;
  folder_ = std::filesystem::is_directory(path_, error);
  if (folder_) return;
  table_ = path_.ends_with(".csv");
  if (table_) {
    for (auto& row : read_reasoning_table(path_, terminator))
      captions_[without_ending(row.image)].push_back(std::move(row.text));
    return;
  }
  const Json json = read_json_file(path_, kLargeJson);
  MMADA_CHECK(
      json.is_object(), path_, ": found ", found_text(json),
      ", expected an object from picture keys to captions, a folder of caption files, or a .csv table");
  for (const auto& [key, value] : json.items())
    captions_[key] = value.is_string() ? std::vector<std::string>{value.get<std::string>()}
                                       : string_list(value, cat(path_, ": key ", quote(key)));
}

std::vector<std::string> CaptionMap::find(const std::string& key, const std::string& group) const {
  if (!folder_) {
    auto found = captions_.find(key);
    if (table_ && found == captions_.end()) found = captions_.find(key.substr(key.rfind('/') + 1));
    return found == captions_.end() ? std::vector<std::string>{} : found->second;
  }
  const std::string base = path_ + "/" + key;
  if (is_file(base + ".txt")) {
    const std::string text = read_text_file(base + ".txt");
    return {stripped(std::string_view(text).substr(0, text.find('\n')))};
  }
  if (is_file(base + ".caption")) return {read_text_file(base + ".caption")};
  const std::string grouped = path_ + "/" + group + "/" + key + ".caption";
  if (!group.empty() && is_file(grouped)) return {read_text_file(grouped)};
  return {};
}

CaptionMap open_captions(const std::string& path, const CaptionRules& rules, const Fields& fields) {
  CaptionMap map(path, rules.terminator());
  if (map.is_table() && rules.use() != CaptionUse::kPlain)
    fields.fail("use", quote(rules.use() == CaptionUse::kGeneration ? "generation" : "understanding"),
                cat("\"plain\" with ", quote(path), ", whose rows are whole conversations"));
  return map;
}

}  // namespace mmada
