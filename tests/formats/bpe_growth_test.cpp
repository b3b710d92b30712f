// SPDX-License-Identifier: MIT
#include <catch2/catch.hpp>

#include "mmada/core/json.h"
#include "mmada/formats/bpe_tokenizer.h"
#include "tests/formats/expect_error.h"

using namespace mmada;
using mmada::testing::expect_error;

namespace {

/// A tokenizer of the letters a and b with `steps` replacements of "a" by "aa" as `part` ("normalizer" or
/// "decoder").
BpeTokenizer doubling(const std::string& part, int steps) {
  Json replace = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  Json list = Json::array();
  for (int i = 0; i < steps; ++i) list.push_back(replace);
  Json file = {{"normalizer", nullptr},
               {"pre_tokenizer", nullptr},
               {"decoder", {{"type", "Fuse"}}},
               {"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}}}, {"merges", Json::array()}}},
               {"added_tokens", Json::array()}};
  file[part] = {{"type", "Sequence"}, {part + "s", list}};
  return BpeTokenizer(file.dump(), "t.json");
}

}  // namespace

TEST_CASE("a chain of replacements cannot blow a text up") {
  CHECK(doubling("normalizer", 3).encode("ab").size() == 9);
  CHECK(doubling("decoder", 3).decode({0, 1}) == "aaaaaaaab");
  expect_error([] { doubling("normalizer", 40).encode("aaaa"); },
               {"bytes after a replacement", "at most 65792"});
  expect_error(
      [] {
        doubling("decoder", 40).decode({0, 0, 0, 0});
      },
      {"bytes after a replacement", "expected at most"});
}
