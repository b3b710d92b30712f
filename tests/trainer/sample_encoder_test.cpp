// SPDX-License-Identifier: MIT
#include "mmada/trainer/sample_encoder.h"

#include <catch2/catch.hpp>
#include <map>

namespace {

using namespace mmada;

/// Pieces as a byte-level tokenizer cuts them: the tag is several tokens, spelled by their neighbours.
class PieceTokenizer final : public Tokenizer {
 public:
  TokenIds encode(std::string_view text) const override {
    return text == " a" ? TokenIds{2} : TokenIds(text.size(), 6);
  }
  std::string decode(const TokenIds& ids, bool) const override {
    static const std::map<int64_t, std::string> kPieces = {
        {1, "<think>"}, {2, "a"}, {3, ".</"}, {4, "think"}, {5, ">\n"}, {6, "answer"}, {7, "</think>"}};
    std::string text;
    for (const int64_t id : ids) text += kPieces.at(id);
    return text;
  }
  std::optional<int64_t> token_id(std::string_view) const override { return {}; }
  std::string token(int64_t) const override { return {}; }
  int64_t size() const override { return 8; }
};

int64_t end_of(const TokenIds& ids) {
  const PieceTokenizer tokenizer;
  return reasoning_end(tokenizer, tokenizer.decode(ids, false), ids);
}

}  // namespace

TEST_CASE("reasoning ends behind the token that completes the last closing tag") {
  CHECK(end_of({1, 2, 7, 6}) == 3);
  CHECK(end_of({1, 2, 3, 4, 5, 6, 6}) == 5);
  CHECK(end_of({1, 2, 7, 6, 1, 2, 3, 4, 5, 6}) == 9);
  CHECK(end_of({1, 2, 7}) == 3);
}

TEST_CASE("words of a configuration are single tokens behind a blank") {
  const PieceTokenizer tokenizer;
  CHECK(word_ids(tokenizer, {"a", "a"}, "masked_words") == std::vector<int64_t>{2, 2});
  CHECK_THROWS_WITH(word_ids(tokenizer, {"a", "think"}, "masked_words"),
                    Catch::Contains("masked_words") && Catch::Contains("\"think\""));
}

TEST_CASE("a text without a closing tag has no reasoning") {
  CHECK(end_of({1, 2, 6}) == 0);
  CHECK(end_of({}) == 0);
}
