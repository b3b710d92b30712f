// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_regex.h"

#include <catch2/catch.hpp>

#include "mmada/core/check.h"

using namespace mmada;
using namespace mmada::bpe;
using Catch::Matchers::Contains;

namespace {

std::vector<std::string> matches_of(const char* pattern, std::string_view text) {
  RegexScratch scratch;
  std::vector<Range> ranges;
  Regex(pattern, "here").find_all(text, ranges, scratch);
  std::vector<std::string> matches;
  for (const Range range : ranges) matches.emplace_back(text.substr(range.begin, range.end - range.begin));
  return matches;
}

using Strings = std::vector<std::string>;

}  // namespace

// Expected values: Oniguruma's, through tokenizers.pre_tokenizers.Split(Regex(pattern), "isolated").
TEST_CASE("constructs that differ between the engines mean what Oniguruma means") {
  CHECK(matches_of("\\s", "a\u0085b\u180e\u00a0") == Strings{"\u0085", "\u00a0"});
  CHECK(matches_of("\\v", "\n\x0b\r") == Strings{"\x0b"});
  CHECK(matches_of("\\h+", "xyzbeef12 \t") == Strings{"beef12"});
  CHECK(matches_of("\\w+", "e\u0301_1\u00b2 a-b") == Strings{"e\u0301_1\u00b2", "a", "b"});
  CHECK(matches_of("[[:word:]]+", "a\u00b2b") == Strings{"a", "b"});
  CHECK(matches_of("[\\w&]+", "a\u00b2b") == Strings{"a", "b"});
  CHECK(matches_of("\\bab\\b", "ab\u0301 ab") == Strings{"ab"});
  CHECK(matches_of("\\p{Han}", "\u3001\u4e2d\u3007") == Strings{"\u4e2d", "\u3007"});
  CHECK(matches_of("\\p{^L}", "a1") == Strings{"1"});
  CHECK(matches_of("a{2}+", "aaaaa") == Strings{"aaaa"});      // repeated pairs, not possessive
  CHECK(matches_of("ba{2}?", "baab") == Strings{"baa", "b"});  // optional, not lazy
  CHECK(matches_of("a{,2}b", "aaab") == Strings{"aab"});
  CHECK(matches_of("a{b", "a{b") == Strings{"a{b"});
  CHECK(matches_of("^b", "a\nb") == Strings{"b"});
  CHECK(matches_of("a$", "a\na") == Strings{"a", "a"});
  CHECK(matches_of(".", "\n\r") == Strings{"\r"});
  CHECK(matches_of("(?m:.)", "\n") == Strings{"\n"});
  CHECK(matches_of("(?i)k", "K\u212ak") == Strings{"K", "\u212a", "k"});
  CHECK(matches_of("\\u0041|\\x{42}|\\x43", "ABCD") == Strings{"A", "B", "C"});
  CHECK(matches_of("a++a|b?+c", "aaa bc") == Strings{"bc"});
  CHECK(matches_of("[\\]\\-\\[]+", "a[-]b") == Strings{"[-]"});
}

TEST_CASE("an empty match right behind a match is passed over") {
  CHECK(matches_of("a*", "baac") == Strings{"", "aa", ""});
  CHECK(matches_of("", "\u4e2d") == Strings{"", ""});
}

TEST_CASE("constructs without an exact counterpart are refused") {
  for (const char* pattern :
       {"(?<name>a)", "(?<n>a)\\k<n>", "(a)\\1",      "[a&&b]", "[a[bc]]", "[\\W_]", "(?x: a)", "a(?i)b",
        "(*UTF)a",    "(?#c)",         "\\G",         "\\K",    "\\X",     "\\C",    "\\ca",    "\\xff",
        "\\07",       "a**",           "a{1,2}{3}",   "*a",     "a)",      "(a",     "[a",      "[]a]",
        "a\\",        "(?~ab)",        "[[:punct:]]", "\\p{L",  "\\pL",    "\\Qa\\E"}) {
    INFO(pattern);
    CHECK_THROWS_WITH(Regex(pattern, "file: field `x`"),
                      Contains("file: field `x`: found the regular expression"));
  }
  for (const char* pattern : {"\\p{Nonsense}", "[b-a]", "(?<=a+)b", "a{2,1}"}) {
    INFO(pattern);
    CHECK_THROWS_WITH(Regex(pattern, "file"), Contains("found the bad regular expression"));
  }
  CHECK_THROWS_WITH(Regex(std::string(20000, 'a'), "file"), Contains("20000 bytes, expected at most 16384"));
}
