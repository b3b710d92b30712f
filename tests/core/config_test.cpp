// SPDX-License-Identifier: MIT
#include "mmada/core/config.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace {

using mmada::apply_override;
using mmada::Json;
using mmada::resolve_references;

Json with_override(const char* text, const std::string& assignment) {
  Json config = Json::parse(text);
  apply_override(config, assignment);
  return config;
}

}  // namespace

TEST_CASE("an override sets one field and reads its value as JSON, else as text") {
  CHECK(with_override(R"({"a": {"b": 1}})", "a.b=2").dump() == R"({"a":{"b":2}})");
  CHECK(with_override(R"({"a": {}})", "a.b=1e-3")["a"]["b"] == 1e-3);
  CHECK(with_override(R"({"a": null})", "a.b=true")["a"]["b"] == true);
  CHECK(with_override(R"({})", "dir=runs/a=b")["dir"] == "runs/a=b");
  CHECK(with_override(R"({})", "x=[1, 2]")["x"].dump() == "[1,2]");
  CHECK(with_override(R"({})", "x=")["x"] == "");
  CHECK(with_override(R"({"l": [{"r": 1}, {"r": 2}]})", "l.1.r=5")["l"][1]["r"] == 5);
}

TEST_CASE("overrides that cannot be meant are usage errors") {
  CHECK_THROWS_AS(with_override("{}", "a.b"), mmada::UsageError);
  CHECK_THROWS_AS(with_override("{}", "=1"), mmada::UsageError);
  CHECK_THROWS_AS(with_override("{}", "a..b=1"), mmada::UsageError);
  CHECK_THROWS_AS(with_override(R"({"a": 3})", "a.b=1"), mmada::UsageError);
  CHECK_THROWS_WITH(with_override(R"({"l": [1, 2]})", "l.2=1"), Catch::Contains("expected 0 to 1"));
}

TEST_CASE("a whole reference keeps its type and a part is inserted as text") {
  const Json config = Json::parse(
      R"({"n": 5, "o": {"x": [1, "${n}"]}, "whole": "${o}", "text": "run-${n}-${name}", "name": "b"})");
  const Json resolved = resolve_references(config, "test");
  CHECK(resolved["whole"].dump() == R"({"x":[1,5]})");
  CHECK(resolved["text"] == "run-5-b");
  CHECK(resolve_references(Json::parse(R"({"a": "${b.0}", "b": [7]})"), "test")["a"] == 7);
}

TEST_CASE("references that lead nowhere, in circles or are left open are errors") {
  const auto resolve = [](const char* text) { return resolve_references(Json::parse(text), "file.json"); };
  CHECK_THROWS_WITH(resolve(R"({"a": "${b}"})"), Catch::Contains("file.json") && Catch::Contains("`b`"));
  CHECK_THROWS_WITH(resolve(R"({"a": "${b}", "b": "${a}"})"), Catch::Contains("nested"));
  CHECK_THROWS_WITH(resolve(R"({"a": "${a"})"), Catch::Contains("expected }"));
  CHECK_THROWS_WITH(resolve(R"({"a": "x${b}", "b": [1]})"), Catch::Contains("list or object"));
}

TEST_CASE("references that double a file at every step are refused, lists and texts alike") {
  Json lists = {{"a0", 1}}, texts = {{"a0", std::string(100, 'x')}};
  for (int i = 1; i < 31; ++i) {
    const std::string last = mmada::cat("${a", i - 1, "}");
    lists[mmada::cat("a", i)] = {last, last};
    texts[mmada::cat("a", i)] = last + last;
  }
  CHECK_THROWS_WITH(resolve_references(lists, "f"),
                    Catch::Contains("f: references make more than 1048576 values"));
  CHECK_THROWS_WITH(resolve_references(texts, "f"), Catch::Contains("f: references make"));
  Json config = Json::object();
  std::string path = "a";
  for (int i = 0; i < 64; ++i) path += ".a";
  CHECK_THROWS_AS(apply_override(config, path + "=1"), mmada::UsageError);
}

TEST_CASE("a configuration file may hold comments, and overrides reach what refers to them") {
  std::filesystem::create_directories(MMADA_TEST_TMP);
  const std::string path = MMADA_TEST_TMP "/config.json";
  std::ofstream(path) << "{ // a comment\n \"seed\": 1, /* another */ \"init\": {\"seed\": \"${seed}\"}}\n";
  CHECK(mmada::load_config(path)["init"]["seed"] == 1);
  CHECK(mmada::load_config(path, {"seed=9"})["init"]["seed"] == 9);
  std::ofstream(path) << R"({"a": 1, "a": 2})";
  CHECK_THROWS_AS(mmada::load_config(path), mmada::Error);
}
