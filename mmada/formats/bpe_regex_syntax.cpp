// SPDX-License-Identifier: MIT
// Oniguruma's syntax (what the tokenizers package compiles its patterns with) to PCRE2's: groups, quantifiers
// and anchors. Sources: doc/RE of Oniguruma 6.9 and pcre2pattern(3).
#include <cctype>
#include <optional>

#include "mmada/core/check.h"
#include "mmada/formats/bpe_regex.h"
#include "mmada/formats/bpe_regex_scanner.h"

namespace mmada::bpe {
namespace {

class Translator : private PatternScanner {
 public:
  Translator(std::string_view pattern, const std::string& where) : PatternScanner(pattern, where) {}

  std::string translate() {
    while (!done()) item();
    if (!groups_.empty()) fail("a group without its )");
    return std::move(out_);
  }

 private:
  /// One construct outside classes: an atom with its quantifier, a group's border, an anchor or |.
  void item() {
    const char c = peek();
    if (c == '(') return open_group();
    if (c == ')') return close_group();
    if (c == '|') return no_atom(1);
    if (c == '^' || c == '$') return no_atom(1);
    if (c == '*' || c == '+' || c == '?') fail("a quantifier that has nothing to repeat");
    atom_ = out_.size();
    if (c == '[') {
      character_class();
    } else if (c == '\\') {
      if (!escape()) return;
    } else {
      if (c == '{') out_ += '\\';  // not an interval here: a literal brace
      out_ += c;
      ++at_;
      while ((static_cast<uint8_t>(peek()) & 0xc0) == 0x80) out_ += pattern_[at_++];
    }
    quantifier();
  }

  void no_atom(size_t bytes) {
    out_ += pattern_.substr(at_, bytes);
    at_ += bytes;
  }

  void open_group() {
    groups_.push_back(out_.size());
    for (const std::string_view head : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
      if (!take(head)) continue;
      out_ += head;
      return;
    }
    if (peek(1) == '*') fail("(*");
    if (peek(1) == '?') return options();
    ++at_;
    out_ += "(?:";  // captures are never read
  }

  void close_group() {
    if (groups_.empty()) fail("a ) without its group");
    atom_ = groups_.back();
    groups_.pop_back();
    ++at_;
    out_ += ')';
    quantifier();
  }

  /// (?i), (?i:...), (?m...) and their negations; Oniguruma's m is PCRE2's s.
  void options() {
    const size_t start = at_;
    at_ += 2;
    std::string options = "(?";
    for (; peek() == 'i' || peek() == 'm' || peek() == '-'; ++at_) options += peek() == 'm' ? 's' : peek();
    if (peek() == ':') {
      ++at_;
      out_ += options + ":";
      return;
    }
    // Oniguruma lets a bare (?i) end at the group, alternatives included, PCRE2 as well; in the middle they
    // differ.
    if (peek() != ')' || start != 0) {
      at_ = start;
      fail("an unsupported group");
    }
    ++at_;
    groups_.pop_back();
    out_ += options + ")";
  }

  /// Returns whether what was written can be repeated.
  bool escape() {
    if (at_ + 1 == pattern_.size()) fail("a trailing backslash");
    const char c = peek(1);
    if (c == 'b' || c == 'B') {
      const std::string word = cat('[', kWord, ']');
      const std::string_view same = c == 'b' ? "(?!" : "(?=", other = c == 'b' ? "(?=" : "(?!";
      out_ += cat("(?:(?<=", word, ')', same, word, ")|(?<!", word, ')', other, word, "))");
      at_ += 2;
      return false;
    }
    if (c == 'A' || c == 'z' || c == 'Z') return no_atom(2), false;
    if (c == 'R' || c == 'N') return no_atom(2), true;
    if (c == 'O') return at_ += 2, out_ += "(?s:.)", true;
    if (c == 'w' || c == 'h') return at_ += 2, out_ += cat('[', c == 'w' ? kWord : kHex, ']'), true;
    if (c == 'W' || c == 'H') return at_ += 2, out_ += cat("[^", c == 'W' ? kWord : kHex, ']'), true;
    shared_escape();
    return true;
  }

  struct Interval {
    std::string text;
    bool exact = false;
    size_t bytes = 0;
  };

  /// {n}, {n,}, {n,m} or {,m} at the cursor; any other brace is a literal.
  std::optional<Interval> interval() const {
    size_t end = at_ + 1;
    const auto digits = [&] {
      const size_t start = end;
      while (end < pattern_.size() && std::isdigit(static_cast<uint8_t>(pattern_[end]))) ++end;
      return pattern_.substr(start, end - start);
    };
    const std::string_view low = digits();
    const bool comma = end < pattern_.size() && pattern_[end] == ',';
    if (comma) ++end;
    const std::string_view high = comma ? digits() : std::string_view();
    if (end >= pattern_.size() || pattern_[end] != '}' || (low.empty() && high.empty())) return std::nullopt;
    return Interval{cat('{', low.empty() ? "0" : low, comma ? "," : "", high, '}'), !comma, end + 1 - at_};
  }

  void quantifier() {
    const char c = peek();
    if (c == '{') {
      const auto found = interval();
      if (!found) return;
      at_ += found->bytes;
      out_ += found->text;
      // Behind an interval, + repeats it (it is no possessive) and ? behind {n} makes it optional.
      if (peek() == '+' || (peek() == '?' && found->exact)) {
        out_.insert(atom_, "(?:");
        out_ += cat(')', peek());
        ++at_;
      } else if (take("?")) {
        out_ += '?';
      }
    } else if (c == '*' || c == '+' || c == '?') {
      out_ += c;
      ++at_;
      if (peek() == '?' || peek() == '+')
        out_ += pattern_[at_++];  // lazy and possessive mean the same to both
    } else {
      return;
    }
    const char next = peek();
    if (next == '*' || next == '+' || next == '?' || (next == '{' && interval()))
      fail("a repeated quantifier");
  }

  size_t atom_ = 0;             // where the last atom begins in out_
  std::vector<size_t> groups_;  // where the open groups begin in out_
};

}  // namespace

std::string translate_oniguruma(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).translate();
}

}  // namespace mmada::bpe
