// SPDX-License-Identifier: MIT
#include "mmada/data/brace_expansion.h"

#include "tests/formats/expect_error.h"

using namespace mmada;
using Names = std::vector<std::string>;

namespace {
Names names(const std::string& pattern) { return expand_braces(pattern, "path"); }
}  // namespace

// Expected values are what bash prints for the same words.
TEST_CASE("braces expand as a shell expands them") {
  CHECK(names("plain.tar") == Names{"plain.tar"});
  CHECK(names("s-{8..11}.tar") == Names{"s-8.tar", "s-9.tar", "s-10.tar", "s-11.tar"});
  CHECK(names("{008..011}") == Names{"008", "009", "010", "011"});
  CHECK(names("{08..101}").front() == "008");
  CHECK(names("{2..0}") == Names{"2", "1", "0"});
  CHECK(names("{-1..1}") == Names{"-1", "0", "1"});
  CHECK(names("{-01..1}") == Names{"-01", "000", "001"});
  CHECK(names("{0..10..4}") == Names{"0", "4", "8"});
  CHECK(names("{10..0..-4}") == Names{"10", "6", "2"});
  CHECK(names("{a,b}") == Names{"a", "b"});
  CHECK(names("x{a,,c}y") == Names{"xay", "xy", "xcy"});
  CHECK(names("{a,b}{0..1}") == Names{"a0", "a1", "b0", "b1"});
  CHECK(names("{a,b{1..2},{c,d}e}") == Names{"a", "b1", "b2", "ce", "de"});
  CHECK(names("a,b") == Names{"a,b"});
}

TEST_CASE("braces that mean nothing are refused with the pattern") {
  for (const std::string bad : {"{", "a{0..3", "a}", "{a}", "{}", "{1..b}", "{1...3}", "{0..3..0}", "{..}"}) {
    INFO(bad);
    testing::expect_error([&] { names(bad); }, {"path: ", bad, "expected lists {a,b} and ranges"});
  }
  testing::expect_error([] { names("{0..1000000}"); }, {"1000001 names"});
  testing::expect_error([] { names("{0..999}{0..999}{0..1}"); }, {"2000000 names"});
  testing::expect_error([] { names(std::string(5000, '{')); }, {"64 deep"});
}
