// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mmada::bpe {

/// Bytes [begin, end) of a text.
struct Range {
  size_t begin = 0;
  size_t end = 0;
};

/// What one thread needs while it matches (match data, limits, JIT stack); usable with every Regex in turn.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(RegexScratch&&) noexcept;
  RegexScratch& operator=(RegexScratch&&) noexcept;
  /// Sets what the matches to come may cost in all, by the bytes of the text that they look at: however many
  /// pieces it was cut into, and however many expressions meet each, a hostile one cannot take hours.
  void allow(size_t text_bytes);

 private:
  friend class Regex;
  struct State;
  std::unique_ptr<State> state_;
};

/// A regular expression as tokenizer.json writes them (Oniguruma's syntax), run by PCRE2 with Unicode classes
/// and JIT.
///
/// The pattern is translated first, because the two differ in what \s, \w, \h, \v, ^, $, {n}+ and others
/// mean; constructs with no exact counterpart are refused. Matching is bounded: a pattern that backtracks
/// without end throws instead of hanging.
class Regex {
 public:
  /// `where` names the place in errors ("tokenizer.json: field `...`").
  Regex(std::string_view pattern, const std::string& where);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// All matches from left to right in valid UTF-8; an empty match is skipped right behind another match.
  void find_all(std::string_view text, std::vector<Range>& matches, RegexScratch& scratch) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

/// The PCRE2 pattern that means what the Oniguruma pattern means.
std::string translate_oniguruma(std::string_view pattern, const std::string& where);

}  // namespace mmada::bpe
