// SPDX-License-Identifier: MIT
#include "mmada/published/yaml.h"

#include <catch2/catch.hpp>

#include "tests/formats/expect_error.h"

using mmada::cat;
using mmada::Json;
using mmada::published::parse_yaml;
using mmada::testing::expect_error;

namespace {

Json value(const std::string& text) { return parse_yaml(cat("a: ", text), "x.yaml")["a"]; }

}  // namespace

TEST_CASE("plain scalars are null, booleans and numbers where they look like them") {
  for (const char* null : {"", "~", "null", "Null"}) CHECK(value(null).is_null());
  CHECK(value("True") == Json(true));
  CHECK(value("false") == Json(false));
  CHECK(value("40000000").get<int64_t>() == 40000000);
  CHECK(value("+7").get<int64_t>() == 7);
  CHECK(value("-3").get<int64_t>() == -3);
  CHECK(value("5e-5").get<double>() == 5e-5);
  CHECK(value("1e-8").get<double>() == 1e-8);
  CHECK(value("-.5").get<double>() == -0.5);
  CHECK(value("1.").get<double>() == 1.0);
  for (const char* text : {"yes", "inf", "nan", "1e999", "5e-5x", "12:30", "infinity", "3 4"})
    CHECK(value(text) == Json(text));
}

TEST_CASE("quoted scalars are strings") {
  for (const char* text : {"5", "true", "null", "", "1e-4"}) {
    CHECK(value(cat('"', text, '"')) == Json(text));
    CHECK(value(cat("'", text, "'")) == Json(text));
  }
}

TEST_CASE("lists, maps and anchors keep their order and values") {
  const Json json = parse_yaml("b: &x {c: 1, a: [2, three]}\na: *x\n", "x.yaml");
  CHECK(json.dump() == R"({"b":{"c":1,"a":[2,"three"]},"a":{"c":1,"a":[2,"three"]}})");
}

TEST_CASE("malformed YAML is named with its line and column") {
  expect_error([] { parse_yaml("a: 1\nb: [1, 2\nc: 3\n", "x.yaml"); }, {"x.yaml:", "expected YAML"});
  expect_error([] { parse_yaml("a: 1\n  b: 2\n", "x.yaml"); }, {"x.yaml:2:4: ", "expected YAML"});
  expect_error([] { parse_yaml("a:\n  b: 1\n\tc: 2\n", "x.yaml"); }, {"x.yaml:3:", "expected YAML"});
  expect_error([] { parse_yaml("a: *nobody\n", "x.yaml"); }, {"x.yaml:1:4: ", "expected YAML"});
}

TEST_CASE("a key that comes twice is named where it comes again") {
  expect_error([] { parse_yaml("a:\n  lr: 1\n  lr: 2\n", "x.yaml"); },
               {"x.yaml:3:3: ", "\"lr\"", "second time"});
}

TEST_CASE("keys that are no text, foreign tags and several documents are refused") {
  expect_error([] { parse_yaml("? [1, 2]\n: 3\n", "x.yaml"); }, {"x.yaml:1:3: ", "key"});
  expect_error([] { parse_yaml("a: !!python/object:os.system x\n", "x.yaml"); }, {"x.yaml:1:4: ", "tag"});
  expect_error([] { parse_yaml("a: 1\n---\nb: 2\n", "x.yaml"); }, {"x.yaml: found 2", "expected one"});
  expect_error([] { parse_yaml("", "x.yaml"); }, {"x.yaml: found 0", "expected one"});
  expect_error([] { parse_yaml("a: \"\xff\"\n", "x.yaml"); }, {"x.yaml:1", "UTF-8"});
}

TEST_CASE("anchors that multiply and levels without end cost no more than their limits") {
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i <= 12; ++i) {
    laughs += cat("a", i, ": &a", i, " [");
    for (int j = 0; j < 10; ++j) laughs += cat(j == 0 ? "" : ", ", "*a", i - 1);
    laughs += "]\n";
  }
  expect_error([&] { parse_yaml(laughs, "x.yaml"); }, {"x.yaml:", "65536 values"});
  expect_error([] { parse_yaml(cat("a: ", std::string(100, '['), std::string(100, ']')), "x.yaml"); },
               {"x.yaml:1:", "64 levels"});
  expect_error([] { parse_yaml(cat("a: ", std::string(100000, '[')), "x.yaml"); }, {"x.yaml:1:"});
}
