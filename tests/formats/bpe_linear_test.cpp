// SPDX-License-Identifier: MIT
// Encoding takes time in proportion to the text and little stack, whatever the text and whatever the file.
#include <pthread.h>

#include <catch2/catch.hpp>
#include <ctime>
#include <functional>

#include "mmada/core/rng.h"
#include "mmada/formats/bpe_tokenizer.h"
#include "tests/formats/tokenizer_files.h"

using namespace mmada;
using namespace mmada::testing;

namespace {

constexpr size_t kSmallText = 1 << 17, kLargeText = 1 << 20;

std::string repeated(const std::string& unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

std::string random_bytes(size_t bytes) {
  Rng random(1, "bytes");
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random.below(256));
  return text;
}

double seconds(const std::function<void()>& act) {
  const std::clock_t start = std::clock();
  act();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

void encode_and_decode(const BpeTokenizer& tokenizer, const std::string& text) {
  const bool same = tokenizer.decode(tokenizer.encode(text)) == bpe::to_valid_utf8(text);
  CHECK(same);  // unprinted: the texts are long
}

/// Eight times the text may take ten times as long; the rest is the clock's grain. On a busy machine a try
/// may be slowed by others, three in a row are not.
void check_growth(const std::function<void(size_t bytes)>& act) {
  double small = 0, large = 1e9;
  for (int i = 0; i < 3 && !(large < 10 * small + 0.2); ++i) {
    small = seconds([&] { act(kSmallText); });
    large = seconds([&] { act(kLargeText); });
  }
  CHECK(large < 10 * small + 0.2);
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
  CHECK(large < 1);  // a megabyte a second, where the measured speed is twenty
#endif
}

/// The small file, whose pre-tokenizer first cuts at spaces and then by `pattern`.
std::string cut_twice(const std::string& pattern) {
  const auto split = [](const Json& by) {
    return Json{{"type", "Split"}, {"pattern", by}, {"behavior", "Isolated"}, {"invert", false}};
  };
  const Json steps = Json::array({split({{"String", " "}}), split({{"Regex", pattern}})});
  return small_with("/pre_tokenizer", Json{{"type", "Sequence"}, {"pretokenizers", steps}}.dump());
}

}  // namespace

TEST_CASE("one long run costs no more per byte than a short one") {
  const BpeTokenizer tokenizer(byte_level_file(kLlama3), "t.json");
  for (const char* unit : {"a", " ", "\n", "\u0301", "\u4e2d", " \n", "a\u0301", "1", "!?", "'s"}) {
    INFO("unit " << unit);
    check_growth([&](size_t bytes) { encode_and_decode(tokenizer, repeated(unit, bytes)); });
  }
  INFO("random bytes");
  check_growth([&](size_t bytes) { encode_and_decode(tokenizer, random_bytes(bytes)); });
}

TEST_CASE("marks in the wrong order are normalized in linear time") {
  for (const char* form : {"NFC", "NFKD"}) {
    const BpeTokenizer tokenizer(small_with("/normalizer", cat(R"({"type": ")", form, "\"}")), "t.json");
    for (const char* unit : {"\u0301\u0323", "\u0345\u0301\u0323\u0334", "\uac01"}) {
      INFO(form << " of " << unit);
      check_growth([&](size_t bytes) { tokenizer.encode(repeated(unit, bytes)); });
    }
  }
}

TEST_CASE("an added token that swallows white space walks over it once") {
  for (const char* side : {"lstrip", "rstrip"}) {
    Json token = {{"id", 4},         {"content", " "},      {"single_word", false}, {"lstrip", false},
                  {"rstrip", false}, {"normalized", false}, {"special", true}};
    token[side] = true;
    const BpeTokenizer tokenizer(small_with("/added_tokens", Json::array({token}).dump()), "t.json");
    INFO(side);
    check_growth([&](size_t bytes) { tokenizer.encode(std::string(bytes, ' ')); });
  }
}

TEST_CASE("a pattern that backtracks long in every piece is bounded over all of them") {
  // each piece alone stays below the steps that one match is allowed
  const BpeTokenizer tokenizer(cut_twice("(?:a+)+[bc]"), "t.json");
  const std::string text = repeated(std::string(18, 'a') + " ", 1 << 16);
  CHECK_THROWS_WITH(tokenizer.encode(text), Catch::Contains("gave up"));
  CHECK(tokenizer.encode("aa b aab").size() == 5);  // what one text used up is not missing in the next
}

// Stacks of worker threads are small, and neither a pattern nor a nesting may use one up.
TEST_CASE("a stack of 256 KiB is enough for any text and any file") {
  const auto run = [](void* error) -> void* {
    try {
      const BpeTokenizer tokenizer(byte_level_file(kLlama3), "t.json");
      for (const char* unit : {"a", " ", "\n", "\u0301", "\u4e2d", "a\u0301", "1", "!?"}) {
        const std::string text = repeated(unit, kLargeText);
        if (tokenizer.decode(tokenizer.encode(text)) != text) throw Error(cat("lost text of ", unit));
      }
      tokenizer.encode(random_bytes(kLargeText));
      std::string deep = R"({"type": "NFC"})";
      for (int i = 0; i < 28; ++i) deep = cat(R"({"type": "Sequence", "normalizers": [)", deep, "]}");
      BpeTokenizer(small_with("/normalizer", deep), "t.json").encode(repeated("\u0301\u0323", kLargeText));
    } catch (const std::exception& thrown) {
      *static_cast<std::string*>(error) = thrown.what();
    }
    return nullptr;
  };
  std::string error;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  REQUIRE(pthread_attr_setstacksize(&attributes, 256 * 1024) == 0);
  pthread_t thread;
  REQUIRE(pthread_create(&thread, &attributes, run, &error) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  CHECK(error.empty());
}
