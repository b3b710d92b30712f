// SPDX-License-Identifier: MIT
// Oniguruma's syntax (what the tokenizers package compiles its patterns with) to PCRE2's. Sources: doc/RE of
// Oniguruma 6.9 and pcre2pattern(3).
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cctype>
#include <memory>
#include <optional>

#include "mmada/core/check.h"
#include "mmada/formats/bpe_regex.h"

namespace mmada::bpe {
namespace {

// Oniguruma's [:word:], and its \w, which holds Latin-1's superscripts and fractions too; PCRE2's lack the
// marks.
constexpr std::string_view kPosixWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
constexpr std::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\xb2\\xb3\\xb9\\xbc-\\xbe";
constexpr std::string_view kHex = "0-9a-fA-F";

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string translate() {
    while (!done()) item();
    if (!groups_.empty()) fail("a group without its )");
    return std::move(out_);
  }

 private:
  bool done() const { return at_ == pattern_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0'; }
  bool take(std::string_view text) {
    if (pattern_.substr(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }
  [[noreturn]] void fail(std::string_view what) const {
    throw Error(cat(where_, ": found the regular expression \"", pattern_, "\" with ", what, " at byte ", at_,
                    ", expected only constructs that mean the same to PCRE2"));
  }

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

  /// Escapes that are written the same inside and outside classes.
  void shared_escape() {
    const char c = peek(1);
    if (c == 'p' || c == 'P') return property();
    if (c == 'x' || c == 'u') return code_point();
    at_ += 2;
    switch (c) {
      case 's':
        out_ += "\\p{White_Space}";
        return;  // PCRE2's \s also takes U+180E
      case 'S':
        out_ += "\\P{White_Space}";
        return;
      case 'd':
        out_ += "\\p{Nd}";
        return;
      case 'D':
        out_ += "\\P{Nd}";
        return;
      case 'v':
        out_ += "\\x0b";
        return;  // PCRE2's \v is a class
      case 't':
      case 'n':
      case 'r':
      case 'f':
      case 'a':
      case 'e':
        out_ += cat('\\', c);
        return;
      default:
        break;
    }
    at_ -= 2;
    if (std::isalnum(static_cast<uint8_t>(c))) fail(cat("the escape \\", c));
    ++at_;
    out_ += '\\';
    if (static_cast<uint8_t>(c) >= 0x80) out_.pop_back();  // PCRE2 escapes ASCII only
    out_ += pattern_[at_++];
    while ((static_cast<uint8_t>(peek()) & 0xc0) == 0x80) out_ += pattern_[at_++];
  }

  void property() {
    const size_t close = pattern_.find('}', at_);
    if (peek(2) != '{' || close == std::string_view::npos) fail("a property without its braces");
    std::string_view name = pattern_.substr(at_ + 3, close - at_ - 3);
    const bool negated = (peek(1) == 'P') != name.starts_with('^');
    if (name.starts_with('^')) name.remove_prefix(1);
    for (const char c : name)
      if (!std::isalnum(static_cast<uint8_t>(c)) && c != '_' && c != ' ' && c != '-') fail("a bad property");
    // A bare script name means Script_Extensions to PCRE2, Script to Oniguruma.
    const std::string script = cat("sc:", name, '}');
    out_ += cat('\\', negated ? 'P' : 'p', '{', compiles("\\p{" + script) ? script : cat(name, '}'));
    at_ = close + 1;
  }

  static bool compiles(const std::string& pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code(
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error,
                      &offset, nullptr),
        &pcre2_code_free);
    return code != nullptr;
  }

  void code_point() {
    const bool braces = peek(1) == 'x' && peek(2) == '{';
    const size_t most = braces ? 8 : peek(1) == 'u' ? 4 : 2;
    const size_t start = at_ + (braces ? 3 : 2);
    size_t end = start;
    while (end < pattern_.size() && end - start < most && std::isxdigit(static_cast<uint8_t>(pattern_[end])))
      ++end;
    const bool complete =
        braces ? end > start && end < pattern_.size() && pattern_[end] == '}' : end - start == most;
    if (!complete) fail("an incomplete code point");
    const std::string_view digits = pattern_.substr(start, end - start);
    if (!braces && peek(1) == 'x' && digits[0] >= '8') fail("\\x of a single byte above 7F");
    out_ += cat("\\x{", digits, '}');
    at_ = end + (braces ? 1 : 0);
  }

  void character_class() {
    out_ += '[';
    ++at_;
    if (take("^")) out_ += '^';
    if (peek() == ']') fail("an empty class");
    while (peek() != ']') {
      if (done()) fail("a class without its ]");
      class_item();
    }
    ++at_;
    out_ += ']';
  }

  void class_item() {
    if (take("[:")) return posix_class();
    if (peek() == '[') fail("a class inside a class");
    if (pattern_.substr(at_, 2) == "&&") fail("a class intersection");
    if (peek() != '\\') {
      out_ += pattern_[at_++];
      return;
    }
    if (at_ + 1 == pattern_.size()) fail("a trailing backslash");
    const char c = peek(1);
    if (c == 'w' || c == 'h') {
      out_ += c == 'w' ? kPosixWord : kHex;
      at_ += 2;
    } else if (c == 'b') {
      out_ += "\\x08";
      at_ += 2;
    } else {
      shared_escape();  // refuses \W and \H: PCRE2 has no union of complements
    }
  }

  void posix_class() {
    constexpr std::pair<std::string_view, std::string_view> kClasses[] = {
        {"alpha:]", "\\p{Alphabetic}"},
        {"digit:]", "\\p{Nd}"},
        {"alnum:]", "\\p{Alphabetic}\\p{Nd}"},
        {"space:]", "\\p{White_Space}"},
        {"upper:]", "\\p{Uppercase}"},
        {"lower:]", "\\p{Lowercase}"},
        {"word:]", kPosixWord},
        {"xdigit:]", kHex}};
    for (const auto& [name, meaning] : kClasses)
      if (take(name)) return void(out_ += meaning);
    fail("an unsupported POSIX class");
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

  std::string_view pattern_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where the last atom begins in out_
  std::vector<size_t> groups_;  // where the open groups begin in out_
};

}  // namespace

std::string translate_oniguruma(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).translate();
}

}  // namespace mmada::bpe
