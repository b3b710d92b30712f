// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_tokenizer.h"

#include <catch2/catch.hpp>
#include <thread>

#include "tests/formats/tokenizer_files.h"

using namespace mmada;
using namespace mmada::testing;
using Catch::Matchers::Contains;

namespace {

std::string error_of(const std::string& file) {
  try {
    BpeTokenizer(file, "t.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a small tokenizer.json encodes, decodes and names its tokens") {
  const BpeTokenizer tokenizer(kSmall, "t.json");
  CHECK(tokenizer.encode("cabb<x>ab") == std::vector<int64_t>{3, 2, 1, 4, 2});
  CHECK(tokenizer.encode("").empty());
  CHECK(tokenizer.encode("zaz") ==
        std::vector<int64_t>{0});  // no unk_token: unknown characters vanish, as in the package
  CHECK(tokenizer.decode({3, 2, 4, 1}) == "cabb");
  CHECK(tokenizer.decode({3, 2, 4, 1}, false) == "cab<x>b");
  CHECK(tokenizer.size() == 5);
  CHECK(tokenizer.token_id("ab") == 2);
  CHECK(tokenizer.token_id("<x>") == 4);
  CHECK_FALSE(tokenizer.token_id("bb"));
  CHECK(tokenizer.token(2) == "ab");
  CHECK(tokenizer.token(5).empty());
  CHECK(tokenizer.is_special(4));
  CHECK_FALSE(tokenizer.is_special(2));
}

TEST_CASE("merges may be written as strings or as pairs") {
  CHECK(BpeTokenizer(small_with("/model/merges", R"([["a", "b"]])"), "t.json").encode("ab") ==
        std::vector<int64_t>{2});
  CHECK(BpeTokenizer(small_with("/model/merges", R"(["#version: 0.2", "a b"])"), "t.json").encode("ab") ==
        std::vector<int64_t>{2});
}

TEST_CASE("ids that the tokenizer does not have are an error in decode") {
  const BpeTokenizer tokenizer(kSmall, "t.json");
  CHECK_THROWS_WITH(tokenizer.decode({0, 5}), "token 1: found id 5, expected an id from 0 to 4");
  CHECK_THROWS_WITH(tokenizer.decode({-1}), "token 0: found id -1, expected an id from 0 to 4");
}

TEST_CASE("text that is not UTF-8 encodes as if every invalid part were U+FFFD") {
  const BpeTokenizer tokenizer(byte_level_file(kLlama3), "t.json");
  const auto check = [&](const char* bytes, const char* text) {
    CHECK(tokenizer.encode(bytes) == tokenizer.encode(text));
  };
  check(
      "a\xff"
      "b",
      "a\ufffd"
      "b");
  check("\xe2\x82", "\ufffd");  // cut off: one part
  check("\xf0\x9f\x98", "\ufffd");
  check("\xc0\xaf", "\ufffd\ufffd");                      // overlong
  check("\xed\xa0\x80", "\ufffd\ufffd\ufffd");            // surrogate
  check("\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd");  // above U+10FFFF
  check("\xf0\x9f\x98\x41",
        "\ufffd"
        "A");
  check("\x80\xe4\xb8\xad", "\ufffd\u4e2d");
  CHECK(tokenizer.decode(tokenizer.encode("\xff")) == "\ufffd");
  CHECK(tokenizer.decode({tokenizer.encode("\u00e9")[0]}) == "\ufffd");  // half a character
}

TEST_CASE("bytes survive encoding and decoding, NUL and controls included") {
  const BpeTokenizer tokenizer(byte_level_file(kLlama3), "t.json");
  for (const std::string& text :
       {std::string("a\0b\0", 4), std::string("\x01\x7f\r\n\t \u00a0\u200d"),
        std::string("\U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301 \u0915\u094d\u0937"),
        std::string(1000, 'a') + std::string(1000, ' ')})
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
}

TEST_CASE("the last unit of every word carries the end-of-word mark") {
  Json file = parse_json(small_with("/model/end_of_word_suffix", R"("</w>")"), "test");
  file["pre_tokenizer"] = {{"type", "WhitespaceSplit"}};
  file["model"]["vocab"] = {{"a", 0}, {"a</w>", 1}, {"b</w>", 2}, {"ab</w>", 3}};
  file["model"]["merges"] = {"a b</w>"};
  const BpeTokenizer tokenizer(file.dump(), "t.json");
  CHECK(tokenizer.encode("aab a aaa") == std::vector<int64_t>{0, 3, 1, 0, 0, 1});
  CHECK(tokenizer.encode("ba").size() == 1);  // a "b" that ends no word has no token
}

TEST_CASE("a bad tokenizer.json is one error that names the field and what was expected") {
  const struct {
    const char* pointer;
    const char* value;
    const char* message;
  } kCases[] = {
      {"/version", R"("2.0")", "t.json: field `version`: found \"2.0\", expected one of \"1.0\""},
      {"/surprise", "1", "t.json: unknown field `surprise`"},
      {"/normalizer", R"({"type": "BertNormalizer"})",
       "t.json: field `normalizer.type`: found \"BertNormalizer\", expected one of \"NFC\""},
      {"/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Nmt"}]})",
       "t.json: field `normalizer.normalizers[1].type`: found \"Nmt\", expected one of"},
      {"/normalizer", R"({"type": "Strip", "strip_left": 1, "strip_right": true})",
       "t.json: field `normalizer.strip_left`: found 1, expected true or false"},
      {"/pre_tokenizer", R"({"type": "Metaspace"})",
       "t.json: field `pre_tokenizer.type`: found \"Metaspace\", expected one of"},
      {"/pre_tokenizer", R"({"type": "ByteLevel", "add_prefix_space": true, "use_regexp": true})",
       "t.json: unknown field `pre_tokenizer.use_regexp`, did you mean `use_regex`?"},
      {"/pre_tokenizer",
       R"({"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": false})",
       "t.json: field `pre_tokenizer`: found the regular expression \"(a\" with a group without its )"},
      {"/pre_tokenizer",
       R"({"type": "Split", "pattern": {"Regex": "\\p{Nonsense}"}, "behavior": "Isolated", "invert": false})",
       "t.json: field `pre_tokenizer`: found the bad regular expression \"\\p{Nonsense}\""},
      {"/pre_tokenizer",
       R"({"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false})",
       "t.json: field `pre_tokenizer.pattern`: found an empty string"},
      {"/pre_tokenizer",
       R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Isolate", "invert": false})",
       "(did you mean \"Isolated\"?)"},
      {"/decoder", R"({"type": "WordPiece"})",
       "t.json: field `decoder.type`: found \"WordPiece\", expected one of"},
      {"/decoder", R"({"type": "Strip", "content": "ab", "start": 1, "stop": 0})",
       "t.json: field `decoder.content`: found \"ab\", expected one character"},
      {"/model/type", R"("WordPiece")",
       "t.json: field `model.type`: found \"WordPiece\", expected one of \"BPE\""},
      {"/model/dropout", "0.1", "t.json: field `model.dropout`: found 0.1, expected null"},
      {"/model/continuing_subword_prefix", R"("##")",
       "t.json: field `model.continuing_subword_prefix`: found \"##\", expected none"},
      {"/model/end_of_word_suffix",
       R"("a mark that is longer than any that was ever put behind the last character")",
       "expected at most 64 bytes"},
      {"/model/unk_token", R"("<unk>")",
       "t.json: field `model.unk_token`: found \"<unk>\", expected a token of the vocabulary"},
      {"/model/vocab", "[]", "t.json: field `model.vocab`: found a list, expected an object"},
      {"/model/vocab/c", "-3", "t.json: field `model.vocab`: token \"c\": found -3, expected an id from 0"},
      {"/model/vocab/c", "2.5", "t.json: field `model.vocab`: token \"c\": found 2.5"},
      {"/model/vocab/c", "1", "t.json: id 1: found both"},
      {"/model/vocab/d", "7", "t.json: token \"d\": found id 7, expected ids without gaps"},
      {"/model/merges", R"(["a b", "a b"])", "t.json: field `model.merges`[1]: found \"a b\" a second time"},
      {"/model/merges", R"(["ab"])",
       "t.json: field `model.merges`[0]: found \"ab\", expected two tokens with one space"},
      {"/model/merges", R"(["a b c"])", "t.json: field `model.merges`[0]: found \"a b c\""},
      {"/model/merges", R"([["a"]])",
       "t.json: field `model.merges`[0]: found a list, expected \"a b\" or [\"a\", \"b\"]"},
      {"/model/merges", R"(["a z"])",
       "t.json: field `model.merges`[0]: found the part \"z\", expected a token of the vocabulary"},
      {"/model/merges", R"(["a c"])",
       "t.json: field `model.merges`[0]: found the result \"ac\", expected a token"},
      {"/added_tokens/0/id", "9", "t.json: token \"<x>\": found id 9, expected ids without gaps"},
      {"/added_tokens/0/id", "2", "t.json: id 2: found both \"ab\" and \"<x>\""},
      {"/added_tokens/0/content", R"("ab")",
       "token \"ab\": found id 4, expected 2, its id in the vocabulary"},
      {"/added_tokens/0/content", R"("")", "t.json: field `added_tokens[0].content`: found an empty string"},
      {"/pre_tokenizer",
       R"({"type": "Split", "pattern": {"String": "@long"}, "behavior": "Isolated", "invert": false})",
       "t.json: field `pre_tokenizer.pattern`: found 20000 bytes, expected 1 to 16384 bytes"},
      {"/added_tokens/0/content", R"("@long")", " of 20000 bytes, expected at most 256"},
      {"/added_tokens/0/lstrip", "null",
       "t.json: field `added_tokens[0].lstrip`: found nothing, expected a value"},
      {"/added_tokens", "{}", "t.json: field `added_tokens`: found an object, expected a list"},
  };
  for (const auto& bad : kCases) {
    INFO(bad.pointer << " = " << bad.value);
    std::string value = bad.value;
    if (const size_t at = value.find("@long"); at != std::string::npos) value.replace(at, 5, 20000, 'x');
    CHECK_THAT(error_of(small_with(bad.pointer, value)), Contains(bad.message));
  }
  const std::string hostile =
      error_of(small_with("/model/merges", cat("[\"\\u001b[31m", std::string(9000, 'x'), "\"]")));
  CHECK_THAT(hostile,
             Contains("found \"\\x1b[31mxxx") && Contains("..."));  // cut, and nothing a terminal obeys
  CHECK(hostile.size() < 400);
  CHECK_THAT(error_of("{"), Contains("t.json: not valid JSON"));
  CHECK_THAT(error_of("[]"), Contains("t.json: found a list, expected an object"));
  CHECK_THAT(error_of("{}"), Contains("field `model`"));
  CHECK_THAT(error_of(R"({"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}})"),
             Contains("\"a\" appears twice"));
}

TEST_CASE("a pattern that backtracks without end gives up with an error") {
  for (const char* pattern : {"(?:a+)+b$", "(?:a|aa)+$\\d", "(?:a*)*[bc]z"}) {
    const BpeTokenizer tokenizer(byte_level_file(pattern), "t.json");
    CHECK_THROWS_WITH(tokenizer.encode(std::string(5000, 'a') + "1dz b"), Contains("gave up"));
  }
}

TEST_CASE("several threads may encode with one tokenizer") {
  const BpeTokenizer tokenizer(byte_level_file(kLlama3), "t.json");
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "aaaa word" + std::to_string(i) + "  ";
  const auto expected = tokenizer.encode(text);
  std::vector<std::vector<int64_t>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) result = tokenizer.encode(text);
    });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) CHECK(result == expected);
}
