// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_regex_scanner.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cctype>
#include <memory>

namespace mmada::bpe {
namespace {

bool compiles(const std::string& pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error, &offset,
                    nullptr),
      &pcre2_code_free);
  return code != nullptr;
}

}  // namespace

void PatternScanner::shared_escape() {
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

void PatternScanner::property() {
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

void PatternScanner::code_point() {
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

void PatternScanner::character_class() {
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

void PatternScanner::class_item() {
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

void PatternScanner::posix_class() {
  constexpr std::pair<std::string_view, std::string_view> kClasses[] = {{"alpha:]", "\\p{Alphabetic}"},
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

}  // namespace mmada::bpe
