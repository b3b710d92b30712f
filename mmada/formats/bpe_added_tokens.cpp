// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "mmada/core/quote.h"
#include "mmada/formats/bpe_unicode.h"

namespace mmada::bpe {
namespace {

// Looking for tokens takes time for each byte of the text times the bytes of a token that begin to match.
constexpr size_t kMaxAddedTokenBytes = 256;

/// Rust's \w, which single_word is defined by: alphabetic, mark, decimal, connector or join control.
bool is_word(uint32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  if (c == 0x200c || c == 0x200d) return true;
  if ((c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
      (c >= 0x1f170 && c <= 0x1f189))
    return true;  // Other_Alphabetic: enclosed letters
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

bool word_ends_at(std::string_view text, size_t end) {
  if (end == 0) return false;
  size_t at = previous_codepoint(text, end);
  return is_word(next_codepoint(text, at));
}

bool word_starts_at(std::string_view text, size_t begin) {
  return begin < text.size() && is_word(next_codepoint(text, begin));
}

size_t end_of_space(std::string_view text, size_t begin) {
  for (size_t after = begin; after < text.size() && is_white_space(next_codepoint(text, after));)
    begin = after;
  return begin;
}

AddedToken read_added_token(const Json& json, const Place& place) {
  Fields fields(json, place.source, place.path);
  AddedToken token;
  token.id = fields.integer("id", 0, INT32_MAX);
  token.content = fields.string("content");
  token.single_word = fields.boolean("single_word");
  token.lstrip = fields.boolean("lstrip");
  token.rstrip = fields.boolean("rstrip");
  token.normalized = fields.boolean("normalized");
  token.special = fields.boolean("special");
  if (token.content.empty()) fields.fail("content", "an empty string", "at least one character");
  fields.finish();
  return token;
}

}  // namespace

void AddedTokenMatcher::add(const std::string& spelling, size_t order) {
  uint32_t node = 0;
  for (const char c : spelling) {
    const auto byte = static_cast<uint8_t>(c);
    auto& children = nodes_[node].children;
    const auto child = std::lower_bound(children.begin(), children.end(), byte,
                                        [](const auto& a, uint8_t b) { return a.first < b; });
    if (child != children.end() && child->first == byte) {
      node = child->second;
      continue;
    }
    const auto fresh = static_cast<uint32_t>(nodes_.size());
    children.insert(child, {byte, fresh});
    nodes_.emplace_back();
    node = fresh;
  }
  starts_[static_cast<uint8_t>(spelling[0])] = true;
  if (nodes_[node].token < 0) nodes_[node].token = static_cast<int64_t>(order);
}

AddedTokenMatcher::Match AddedTokenMatcher::longest_at(std::string_view text, size_t begin) const {
  Match longest;
  uint32_t node = 0;
  for (size_t at = begin; at < text.size(); ++at) {
    const auto byte = static_cast<uint8_t>(text[at]);
    const auto& children = nodes_[node].children;
    const auto child = std::lower_bound(children.begin(), children.end(), byte,
                                        [](const auto& a, uint8_t b) { return a.first < b; });
    if (child == children.end() || child->first != byte) break;
    node = child->second;
    if (nodes_[node].token >= 0) longest = {at + 1, nodes_[node].token};
  }
  return longest;
}

void AddedTokenMatcher::split(std::string_view text, const std::vector<AddedToken>& tokens,
                              std::vector<Segment>& segments) const {
  size_t covered = 0;
  Range space;  // the run of white space last walked over: matches inside it need not walk again
  for (size_t at = 0; at < text.size() && !empty();) {
    if (!starts_[static_cast<uint8_t>(text[at])]) {
      ++at;
      continue;
    }
    const Match match = longest_at(text, at);
    if (match.token < 0) {
      ++at;
      continue;
    }
    size_t begin = at;
    size_t end = at = match.end;  // also a refused match is passed over
    const AddedToken& token = tokens[match.token];
    if (token.single_word && (word_ends_at(text, begin) || word_starts_at(text, end))) continue;
    while (token.lstrip && begin > covered) {
      const size_t previous = previous_codepoint(text, begin);
      size_t after = previous;
      if (!is_white_space(next_codepoint(text, after))) break;
      begin = previous;
    }
    if (token.rstrip) {
      if (end < space.begin || end > space.end) space = {end, end_of_space(text, end)};
      end = space.end;
    }
    if (covered < begin) segments.push_back({{covered, begin}, -1});
    segments.push_back({{begin, end}, token.id});
    covered = end;
  }
  if (covered < text.size()) segments.push_back({{covered, text.size()}, -1});
}

AddedTokens::AddedTokens(const Json& json, const Place& place, const Normalizer* normalizer) {
  if (json.is_null()) return;
  MMADA_CHECK(json.is_array(), place.text(), ": found ", found_text(json), ", expected a list");
  std::unordered_set<std::string> contents;
  for (size_t i = 0; i < json.size(); ++i) {
    const Place item{place.source, cat(place.path, '[', i, ']')};
    tokens_.push_back(read_added_token(json[i], item));
    MMADA_CHECK(contents.insert(tokens_.back().content).second, item.text(), ": found ",
                quote(tokens_.back().content), " a second time, expected every added token once");
  }
  Scratch scratch;
  for (const bool special : {true, false}) {  // among equal spellings special tokens come first
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i].special != special) continue;
      std::string& spelling = tokens_[i].spelling = tokens_[i].content;
      scratch.max_bytes = max_grown_bytes(spelling.size());
      if (tokens_[i].normalized && normalizer != nullptr) normalizer->apply(spelling, scratch);
      MMADA_CHECK(!spelling.empty(), place.text(), ": found ", quote(tokens_[i].content),
                  ", of which the normalizer leaves nothing, expected a token that can occur");
      MMADA_CHECK(spelling.size() <= kMaxAddedTokenBytes, place.text(), ": found ", quote(spelling, 60),
                  " of ", spelling.size(), " bytes, expected at most ", kMaxAddedTokenBytes);
      (tokens_[i].normalized ? normalized_ : raw_).add(spelling, i);
    }
  }
}

}  // namespace mmada::bpe
