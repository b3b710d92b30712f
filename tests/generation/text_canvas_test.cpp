// SPDX-License-Identifier: MIT
#include "mmada/generation/text_canvas.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <string>

#include "mmada/core/check.h"
#include "tests/generation/tiny.h"

namespace mmada {
namespace {

/// Every byte is its own token.
class ByteTokenizer : public Tokenizer {
 public:
  TokenIds encode(std::string_view text) const override { return {text.begin(), text.end()}; }
  std::string decode(const TokenIds& ids, bool) const override { return {ids.begin(), ids.end()}; }
  std::optional<int64_t> token_id(std::string_view) const override { return {}; }
  std::string token(int64_t) const override { return ""; }
  int64_t size() const override { return 128; }
};

TEST_CASE("holes of a text become MASKs between its tokens") {
  const ByteTokenizer tokenizer;
  TokenLayout layout = tiny::layout();
  layout.mask = 200;
  CHECK(encode_with_holes(tokenizer, layout, "ab[MASK:2]c") == TokenIds{'a', 'b', 200, 200, 'c'});
  CHECK(encode_with_holes(tokenizer, layout, "[MASK:1][MASK:1]") == TokenIds{200, 200});
  CHECK(encode_with_holes(tokenizer, layout, "[MASK:]") == tokenizer.encode("[MASK:]"));
  CHECK_THROWS_AS(encode_with_holes(tokenizer, layout, "[MASK:0]"), Error);
  CHECK_THROWS_AS(encode_with_holes(tokenizer, layout, "[MASK:99999999999999999999]"), Error);
}

TEST_CASE("steps and blocks that do not fit are named with their numbers") {
  const TokenLayout layout = tiny::layout();
  CHECK_THROWS_WITH(text_canvas(layout, {1}, {.gen_length = 10, .block_length = 4, .steps = 8}),
                    Catch::Contains("block-length: found 4") && Catch::Contains("gen-length 10"));
  CHECK_THROWS_WITH(text_canvas(layout, {1}, {.gen_length = 12, .block_length = 4, .steps = 8}),
                    Catch::Contains("steps: found 8") && Catch::Contains("3 blocks"));
  CHECK_THROWS_WITH(text_canvas(layout, {1}, {.gen_length = 12, .block_length = 4, .steps = 8}),
                    Catch::Contains("steps: found 8"));
  CHECK_THROWS_AS(infill_canvas(layout, {1, 2}, {}), Error);
}

TEST_CASE("a canvas that exceeds the model's length is an error that names both") {
  const Generator generate(tiny::random_model(1));
  CHECK_THROWS_WITH(
      generate.run(TextRequest{TokenIds(300, 3), {.gen_length = 64, .block_length = 64, .steps = 8}}),
      Catch::Contains("364") && Catch::Contains("320"));
  CHECK_THROWS_WITH(generate.run(TextRequest{{3, 100}, {.gen_length = 8, .block_length = 8, .steps = 8}}),
                    Catch::Contains("found 100"));
  CHECK_THROWS_WITH(generate.run(ImageRequest{TokenIds(7, 3), {}, {}}),
                    Catch::Contains("found 9 tokens") && Catch::Contains("8"));
}

TEST_CASE("holes may be written anyhow and as long as may be, and are bounded together") {
  const int64_t mask = tiny::layout().mask;
  const ByteTokenizer letters;
  const auto encode = [&](std::string_view text) { return encode_with_holes(letters, tiny::layout(), text); };
  const std::string digits(1 << 20, '1');
  for (const std::string& plain : {cat("[MASK:1"), cat("[MASK:x]"), cat("[mask:1]"), cat("[MASK:", digits)})
    CHECK(encode(plain) == TokenIds(plain.begin(), plain.end()));
  CHECK(encode("[MASK:[MASK:1]") == TokenIds{'[', 'M', 'A', 'S', 'K', ':', mask});
  CHECK(encode("[MASK:01]") == TokenIds{mask});
  CHECK_THROWS_WITH(encode(cat("[MASK:", digits, "]")),
                    Catch::Contains("expected 1 to 1048576") && Catch::Contains("..."));
  CHECK_THROWS_WITH(encode("[MASK:1000000][MASK:1000000]"), Catch::Contains("in all holes together"));
}

TEST_CASE("infilling changes the holes alone") {
  const Generator generate(tiny::random_model(2));
  const int64_t mask = tiny::layout().mask;
  const TokenIds ids{50, 4, mask, mask, 9, mask, 7, 51};
  for (const int64_t steps : {1, 2, 3, 8}) {
    const TextAnswer answer = generate.run(InfillRequest{ids, {.steps = steps}});
    CHECK(answer.new_ids.size() == 3);
    CHECK(answer.nfe == std::min<int64_t>(steps, 3));
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] != mask) CHECK(answer.ids[i] == ids[i]);
      CHECK(answer.ids[i] != mask);
      CHECK(tiny::layout().text_window().contains(answer.ids[i]));
    }
  }
}

}  // namespace
}  // namespace mmada
