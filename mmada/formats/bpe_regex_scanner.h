// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada::bpe {

// Oniguruma's [:word:], and its \w, which holds Latin-1's superscripts and fractions too; PCRE2's lack the
// marks.
inline constexpr std::string_view kPosixWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
inline constexpr std::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\xb2\\xb3\\xb9\\xbc-\\xbe";
inline constexpr std::string_view kHex = "0-9a-fA-F";

/// A cursor in an Oniguruma pattern and the PCRE2 pattern written so far; translates what denotes characters:
/// escapes, properties, code points and classes. The cursor stands at their first byte and ends behind them.
class PatternScanner {
 public:
  PatternScanner(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

 protected:
  bool done() const { return at_ == pattern_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0'; }
  bool take(std::string_view text) {
    if (pattern_.substr(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }
  [[noreturn]] void fail(std::string_view what) const {
    throw Error(cat(where_, ": found the regular expression ", quote(pattern_), " with ", what, " at byte ",
                    at_, ", expected only constructs that mean the same to PCRE2"));
  }

  /// An escape that is written the same inside and outside classes.
  void shared_escape();
  /// [...]
  void character_class();

  std::string_view pattern_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;

 private:
  void property();
  void code_point();
  void class_item();
  void posix_class();
};

}  // namespace mmada::bpe
