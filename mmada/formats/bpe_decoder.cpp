// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_decoder.h"

#include <cctype>

#include "mmada/core/quote.h"
#include "mmada/formats/bpe_unicode.h"

namespace mmada::bpe {
namespace {

using Tokens = std::vector<std::string>;

class SpaceJoin final : public Decoder {
 public:
  Tokens apply(Tokens tokens, size_t) const override {
    for (size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(0, 1, ' ');
    return tokens;
  }
};

class ByteLevel final : public Decoder {
 public:
  Tokens apply(Tokens tokens, size_t) const override {
    std::string bytes;
    for (const auto& token : tokens) bytes += alphabet_to_bytes(token);
    return {to_valid_utf8(bytes)};
  }
};

class Fuse final : public Decoder {
 public:
  Tokens apply(Tokens tokens, size_t) const override {
    std::string text;
    for (const auto& token : tokens) text += token;
    return {std::move(text)};
  }
};

/// Runs of <0xNN> tokens become text when they are valid UTF-8 together, else one U+FFFD per byte.
class ByteFallback final : public Decoder {
 public:
  Tokens apply(Tokens tokens, size_t) const override {
    Tokens out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (valid_utf8_prefix(bytes) == bytes.size()) {
        out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\xef\xbf\xbd");
      }
      bytes.clear();
    };
    for (auto& token : tokens) {
      if (const int byte = byte_of(token); byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      flush();
      out.push_back(std::move(token));
    }
    flush();
    return out;
  }

 private:
  static int byte_of(const std::string& token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    if (!std::isxdigit(static_cast<uint8_t>(token[3])) || !std::isxdigit(static_cast<uint8_t>(token[4])))
      return -1;
    return std::stoi(token.substr(3, 2), nullptr, 16);
  }
};

/// Removes up to `start` copies of a character from every token's beginning and up to `stop` from its end.
class Strip final : public Decoder {
 public:
  Strip(std::string content, int64_t start, int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  Tokens apply(Tokens tokens, size_t) const override {
    for (auto& token : tokens) {
      std::string_view view = token;
      for (int64_t i = 0; i < start_ && view.starts_with(content_); ++i) view.remove_prefix(content_.size());
      for (int64_t i = 0; i < stop_ && view.ends_with(content_); ++i) view.remove_suffix(content_.size());
      token = std::string(view);
    }
    return tokens;
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class Replace final : public Decoder {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  Tokens apply(Tokens tokens, size_t max_bytes) const override {
    RegexScratch scratch;
    std::vector<Range> matches;
    size_t bytes = 0;
    for (const auto& token : tokens) bytes += token.size();
    scratch.allow(bytes);
    bytes = 0;
    for (auto& token : tokens) {
      pattern_.find_all(token, matches, scratch);
      token = replace_matches(token, matches, content_, max_bytes - bytes);
      bytes += token.size();
    }
    return tokens;
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Sequence final : public Decoder {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Decoder>> parts) : parts_(std::move(parts)) {}
  Tokens apply(Tokens tokens, size_t max_bytes) const override {
    for (const auto& part : parts_) tokens = part->apply(std::move(tokens), max_bytes);
    return tokens;
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

std::unique_ptr<Decoder> make_sequence(Fields& fields, const Place& place) {
  const Json& list = fields.raw("decoders");
  if (!list.is_array()) fields.fail("decoders", found_text(list), "a list");
  std::vector<std::unique_ptr<Decoder>> parts;
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].is_null()) fields.fail("decoders", "null", "decoders");
    parts.push_back(make_decoder(list[i], place.item("decoders", i)));
  }
  return std::make_unique<Sequence>(std::move(parts));
}

std::unique_ptr<Decoder> make_strip(Fields& fields) {
  std::string content = fields.string("content");
  size_t first = 0;
  if (content.empty() || (next_codepoint(content, first), first != content.size()))
    fields.fail("content", quote(content), "one character");
  const int64_t start = fields.integer("start", 0, 1 << 20);
  return std::make_unique<Strip>(std::move(content), start, fields.integer("stop", 0, 1 << 20));
}

}  // namespace

std::unique_ptr<Decoder> make_decoder(const Json& json, const Place& place) {
  if (json.is_null()) return std::make_unique<SpaceJoin>();
  Fields fields(json, place.source, place.path);
  const std::string type =
      fields.choice("type", {"ByteLevel", "ByteFallback", "Fuse", "Strip", "Replace", "Sequence"});
  std::unique_ptr<Decoder> made;
  if (type == "ByteLevel") {
    for (const char* option : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.ignore(option);
    made = std::make_unique<ByteLevel>();
  }
  if (type == "ByteFallback") made = std::make_unique<ByteFallback>();
  if (type == "Fuse") made = std::make_unique<Fuse>();
  if (type == "Strip") made = make_strip(fields);
  if (type == "Replace") {
    Pattern pattern(fields, "pattern", place.text());
    made = std::make_unique<Replace>(std::move(pattern), fields.string("content"));
  }
  if (type == "Sequence") made = make_sequence(fields, place);
  fields.finish();
  return made;
}

}  // namespace mmada::bpe
