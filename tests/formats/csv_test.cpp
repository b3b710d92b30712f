// SPDX-License-Identifier: MIT
#include "mmada/formats/csv.h"

#include "tests/formats/expect_error.h"

using namespace mmada;
using mmada::testing::expect_error;

namespace {
std::vector<std::vector<std::string>> fields(const std::string& text) {
  std::vector<std::vector<std::string>> list;
  for (const auto& row : parse_csv(text, "x.csv")) list.push_back(row.fields);
  return list;
}
using Rows = std::vector<std::vector<std::string>>;
}  // namespace

TEST_CASE("fields are split at commas and lines, in quotes they hold anything") {
  CHECK(fields("a,b\n1,2\n") == Rows{{"a", "b"}, {"1", "2"}});
  CHECK(fields("a,b\r\n1,\r\n") == Rows{{"a", "b"}, {"1", ""}});
  CHECK(fields("\"a,\n\"\"b\"\"\",c") == Rows{{"a,\n\"b\"", "c"}});
  CHECK(fields("\"\",\"\"") == Rows{{"", ""}});
  CHECK(fields("\xEF\xBB\xBF"
               "a\n\n\r\nb") == Rows{{"a"}, {"b"}});
  CHECK(fields("a\rb\n") == Rows{{"a\rb"}});
  CHECK(fields("").empty());
}

TEST_CASE("rows know the line they begin on") {
  const auto rows = parse_csv("h\n\"1\n2\"\n\n3", "x.csv");
  REQUIRE(rows.size() == 3);
  CHECK(rows[1].line == 2);
  CHECK(rows[2].line == 5);
}

TEST_CASE("mistakes in csv are named with their line") {
  expect_error([] { fields("a\n\"b"); }, {"x.csv:2: found a quote that never closes"});
  expect_error([] { fields("a\n\"b\nc"); }, {"x.csv:2: found a quote that never closes"});
  expect_error([] { fields("a,b\nc\"d,e"); }, {"x.csv:2: found a quote inside a field"});
  expect_error([] { fields("\"a\"b"); }, {"x.csv:1: found \"b\" behind a field in quotes"});
  expect_error([] { fields("a,b\n1,2\n1,2,3"); }, {"x.csv:3: found 3 fields, expected the first row's 2"});
  expect_error([] { fields("\xff"); }, {"x.csv: found bytes that are not UTF-8"});
}
