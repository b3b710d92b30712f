// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/formats/bpe_regex.h"

namespace mmada::bpe {

/// A text on its way from normalization to the model: the pieces that were cut so far, in order.
struct Pieces {
  std::string text;
  std::vector<Range> ranges;

  std::string_view view(Range range) const {
    return std::string_view(text).substr(range.begin, range.end - range.begin);
  }
};

/// Scratch space of one thread for normalizers and pre-tokenizers.
struct Scratch {
  RegexScratch regex;
  std::vector<Range> matches;
  std::vector<Range> ranges;
  std::string text;
  size_t max_bytes = 0;  // that normalizers may make of the text at hand
};

/// What happens to the matches of a Split pre-tokenizer (the names are the file format's).
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// Cuts piece (bytes of a text) at the matches, which are relative to piece.begin, and appends the non-empty
/// parts. invert: the parts between the matches count as the matches.
void append_split(Range piece, const std::vector<Range>& matches, SplitBehavior behavior, bool invert,
                  std::vector<Range>& parts);

/// A pattern of the file format: {"String": "literal"} or {"Regex": "expression"}.
class Pattern {
 public:
  Pattern(Fields& component, const std::string& key, const std::string& where);
  void find_all(std::string_view text, std::vector<Range>& matches, RegexScratch& scratch) const;

 private:
  std::string literal_;
  std::optional<Regex> regex_;
};

/// Bytes that normalizing or decoding may make of so many: a chain of replacements could double a text at
/// every step.
constexpr size_t max_grown_bytes(size_t bytes) { return 64 * bytes + (size_t{1} << 16); }

/// The text with `content` in place of every match; refuses to make more than max_bytes.
std::string replace_matches(std::string_view text, const std::vector<Range>& matches,
                            std::string_view content, size_t max_bytes);

/// A component's place in the file, for messages: "PATH: field `a.b`".
struct Place {
  std::string source;
  std::string path;
  std::string text() const { return source + ": field `" + path + "`"; }
  Place item(const std::string& key, size_t index) const {
    return {source, path + "." + key + "[" + std::to_string(index) + "]"};
  }
};

}  // namespace mmada::bpe
