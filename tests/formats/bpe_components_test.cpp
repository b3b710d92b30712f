// SPDX-License-Identifier: MIT
// Expected values: the tokenizers package's, for files of one component each.
#include <catch2/catch.hpp>

#include "mmada/core/json.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/bpe_tokenizer.h"
#include "tests/formats/expect_error.h"

using namespace mmada;
using Ids = std::vector<int64_t>;

namespace {

/// A file without components but `key`.
BpeTokenizer with(const std::string& key, const Json& component) {
  Json vocabulary = Json::object();
  for (const char* token : {"a", "b", "c", " ", "1", "-", "ab", "bc", "\u0120", "\u0120a", "<0xC3>", "<0xA9>",
                            "<0xFF>", "\u00e9", "a-", " a"})
    vocabulary[token] = vocabulary.size();
  Json file = {
      {"normalizer", nullptr},
      {"pre_tokenizer", nullptr},
      {"decoder", nullptr},
      {"added_tokens", Json::array()},
      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"a b", "b c", "\u0120 a", "a -"}}}}};
  if (!key.empty()) file[key] = component;
  return BpeTokenizer(file.dump(), "t.json");
}

Json split(const std::string& behavior, bool invert) {
  return {{"type", "Split"}, {"pattern", {{"String", "-"}}}, {"behavior", behavior}, {"invert", invert}};
}

Json byte_level(bool prefix, bool regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", true}, {"use_regex", regex}};
}

}  // namespace

TEST_CASE("a split keeps its matches apart, drops them or joins them to a neighbour") {
  const Ids apart = {0, 5, 1, 5, 5, 6, 5}, joined = {14, 1, 5, 5, 6, 5};
  const struct {
    const char* behavior;
    bool invert;
    Ids ids;
  } kCases[] = {{"Isolated", false, apart},
                {"Isolated", true, apart},
                {"Removed", false, {0, 1, 6}},
                {"Removed", true, {5, 5, 5, 5}},
                {"MergedWithPrevious", false, joined},
                {"MergedWithPrevious", true, apart},
                {"MergedWithNext", false, apart},
                {"MergedWithNext", true, joined},
                {"Contiguous", false, apart},
                {"Contiguous", true, apart}};
  for (const auto& [behavior, invert, ids] : kCases) {
    INFO(behavior << " " << invert);
    CHECK(with("pre_tokenizer", split(behavior, invert)).encode("a-b--ab-") == ids);
  }
}

TEST_CASE("pre-tokenizers cut where the package cuts") {
  const auto ids = [](const Json& component) { return with("pre_tokenizer", component).encode("a ab 11-b"); };
  const Json space = {
      {"type", "Split"}, {"pattern", {{"String", "\u0120"}}}, {"behavior", "Isolated"}, {"invert", false}};
  CHECK(ids(byte_level(true, true)) == Ids{9, 8, 6, 8, 4, 4, 5, 1});
  // the byte alphabet is written out where another step follows
  CHECK(ids({{"type", "Sequence"}, {"pretokenizers", {byte_level(false, false), space}}}) ==
        Ids{0, 8, 6, 8, 4, 4, 5, 1});
  CHECK(ids({{"type", "Digits"}, {"individual_digits", false}}) == Ids{0, 3, 6, 3, 4, 4, 5, 1});
  CHECK(ids({{"type", "Digits"}, {"individual_digits", true}}) == Ids{0, 3, 6, 3, 4, 4, 5, 1});
  CHECK(ids({{"type", "Whitespace"}}) == Ids{0, 6, 4, 4, 5, 1});
  CHECK(ids({{"type", "WhitespaceSplit"}}) == Ids{0, 6, 4, 4, 5, 1});
  testing::expect_error(
      [&] {
        ids({{"type", "Sequence"}, {"pretokenizers", 1}});
      },
      {"`pre_tokenizer.pretokenizers`: found 1, expected a list"});
}

TEST_CASE("normalizers rewrite as the package does") {
  const auto ids = [](const Json& component) { return with("normalizer", component).encode(" ab a "); };
  CHECK(ids({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}}) == Ids{6, 3, 0});
  CHECK(ids({{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}}) == Ids{6, 3, 0, 3});
  CHECK(ids({{"type", "Lowercase"}}) == Ids{3, 6, 3, 0, 3});
  CHECK(ids({{"type", "Prepend"}, {"prepend", "b"}}) == Ids{1, 3, 6, 3, 0, 3});
  CHECK(ids({{"type", "Replace"}, {"pattern", {{"Regex", "[ab]"}}}, {"content", "c"}}) ==
        Ids{3, 2, 2, 3, 2, 3});
  CHECK(with("normalizer", {{"type", "Lowercase"}}).encode("AB \u0130A").size() == 3);
}

TEST_CASE("decoders join as the package does") {
  const auto texts = [](const Json& component) {
    const BpeTokenizer tokenizer = with("decoder", component);
    std::vector<std::string> decoded;
    for (const Ids& ids : {Ids{0, 1, 2}, Ids{10, 11, 0}, Ids{12, 0, 10}, Ids{3, 3, 0, 3, 3}})
      decoded.push_back(tokenizer.decode(ids));
    return decoded;
  };
  using Texts = std::vector<std::string>;
  const Json fuse = {{"type", "Fuse"}}, fallback = {{"type", "ByteFallback"}};
  const Texts bytes = {"abc", "\u00e9a", "\ufffda\ufffd", "  a  "};
  CHECK(texts(nullptr) == Texts{"a b c", "<0xC3> <0xA9> a", "<0xFF> a <0xC3>", "    a    "});
  CHECK(texts(fallback) == bytes);
  CHECK(texts({{"type", "Sequence"}, {"decoders", {fallback, fuse}}}) == bytes);
  CHECK(texts({{"type", "Replace"}, {"pattern", {{"Regex", "a+"}}}, {"content", "c"}}) ==
        Texts{"cbc", "<0xC3><0xA9>c", "<0xFF>c<0xC3>", "  c  "});
  CHECK(texts({{"type", "Sequence"},
               {"decoders", {fuse, {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 1}}}}}) ==
        Texts{"abc", "<0xC3><0xA9>a", "<0xFF>a<0xC3>", " a "});
}

TEST_CASE("added tokens look at their neighbours as the package's do") {
  const auto ids = [](const std::string& flag, const std::string& text) {
    Json token = {{"id", 16},        {"content", "cab"},    {"single_word", false}, {"lstrip", false},
                  {"rstrip", false}, {"normalized", false}, {"special", true}};
    if (!flag.empty()) token[flag] = true;
    return with("added_tokens", Json::array({token})).encode(text);
  };
  CHECK(ids("", "a cab b") == Ids{0, 3, 16, 3, 1});
  CHECK(ids("", "acab") == Ids{0, 16});
  CHECK(ids("single_word", "a cab b") == Ids{0, 3, 16, 3, 1});
  CHECK(ids("single_word", "-cab-") == Ids{5, 16, 5});
  CHECK(ids("single_word", "acab") == Ids{0, 2, 6});
  CHECK(ids("single_word", "cab\u00e9") == Ids{2, 6, 13});
  for (const char* text : {"\u24d0cab", "cab\u200d", "_cab", "cab\u0301"})
    CHECK(ids("single_word", text) == Ids{2, 6});
  CHECK(ids("lstrip", "a cab b") == Ids{0, 16, 3, 1});
  CHECK(ids("lstrip", "  cab  cab") == Ids{16, 16});
  CHECK(ids("rstrip", "a cab b") == Ids{0, 3, 16, 1});
  CHECK(ids("rstrip", "  cab  cab") == Ids{3, 3, 16, 16});
}

TEST_CASE("a tokenizer is read from a file and may be moved") {
  const std::string path = testing::fresh_folder("bpe_file") + "/tokenizer.json";
  write_file(path, R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
  BpeTokenizer tokenizer = BpeTokenizer::load(path);
  BpeTokenizer other = with("", nullptr);
  other = std::move(tokenizer);
  CHECK(other.encode("aa") == Ids{0, 0});
  CHECK(other.size() == 1);
  testing::expect_error([&] { BpeTokenizer::load(path + ".none"); }, {path + ".none: ", "No such file"});
}
