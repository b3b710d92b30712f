// SPDX-License-Identifier: MIT
#include "mmada/generation/generator.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "mmada/core/check.h"
#include "mmada/diffusion/layouts.h"
#include "mmada/generation/r2i_canvas.h"
#include "tests/generation/small_generator.h"

namespace mmada {
namespace {

Image striped(int64_t width, int64_t height) {
  Image image{
      .width = width, .height = height, .channels = 3, .pixels = std::vector<uint8_t>(width * height * 3)};
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 37 % 256);
  return image;
}

using tiny::CharacterTokenizer;
using tiny::generator;
using tiny::small_images;

TEST_CASE("a drawn picture has the grid's size in pixels and decodes its own codes") {
  const Generator generate = generator();
  const Picture picture = generate.image("red", {.steps = 4, .seed = 3});
  CHECK(picture.grid.rows == 4);
  CHECK(picture.width == 16);
  CHECK(picture.height == 16);
  CHECK(picture.pixels == generate.decode(picture.grid).pixels);
  const Picture wide = generate.image("red", {.steps = 4, .rows = 2, .columns = 6});
  CHECK(wide.width == 24);
  CHECK(wide.height == 8);
}

/// Steps of each region, and the positions in the order they were committed.
class RegionLog : public Observer {
 public:
  void on_step(const StepEvent& event) override {
    ++steps[event.region];
    committed.insert(committed.end(), event.committed.begin(), event.committed.end());
  }
  std::map<int64_t, int64_t> steps;
  std::vector<int64_t> committed;
};

TEST_CASE("reasoning comes before the picture in one row, and observers see the steps of both") {
  RegionLog log;
  const Generator generate = generator().observed({&log});
  const TextOptions reasoning{.gen_length = 12, .block_length = 6, .steps = 4, .early_stop = false};
  const ImageOptions options{.steps = 3, .max_text_length = 20, .seed = 4};
  const Picture picture = generate.run(ReasonedImageRequest{{50, 3, 4}, {}, reasoning, options});
  CHECK(log.steps == std::map<int64_t, int64_t>{{0, 2}, {1, 2}, {2, 3}});
  CHECK(picture.nfe == 7);
  REQUIRE(log.committed.size() == 12 + 16);
  for (int64_t i = 0; i < 28; ++i) {  // <r2i> and the prompt, both blocks, then what stands behind soi
    const Span part = i < 6 ? Span{4, 10} : i < 12 ? Span{10, 16} : Span{22, 38};
    CHECK(part.contains(log.committed[i]));
  }
  CHECK(picture.reasoning_ids.size() == 12);
  CHECK(picture.reasoning.size() > 0);
  CHECK(picture.pixels == generate.decode(picture.grid).pixels);
  CHECK(std::count(picture.ids.begin(), picture.ids.end(), tiny::layout().mask) == 0);
}

TEST_CASE("the canvas of reasoning is the row that training lays out, with MASK wherever training may mask") {
  const TokenLayout layout = tiny::layout();
  constexpr int64_t kBudget = 12;
  const TokenIds prompt{layout.bos, 3, 4, layout.end_header}, all_codes(16, -1);
  TokenIds text = prompt;
  text.insert(text.end(), {9, 10, 11});
  const Row row = r2i_row(layout, text, TokenIds(16, layout.image_token_offset + 1), kBudget);
  TokenIds masked = row.ids;
  for (size_t i = 0; i < masked.size(); ++i)
    if (!row.prompt[i]) masked[i] = layout.mask;
  const auto canvas = [&](int64_t tokens) {
    const TextOptions reasoning{.gen_length = tokens, .block_length = tokens, .steps = tokens};
    return r2i_canvas(layout, prompt, all_codes, kBudget, reasoning, {}, at::kFloat);
  };
  const R2iCanvas whole = canvas(8);
  CHECK(whole.canvas.ids == masked);
  CHECK(whole.canvas.valid == row.valid);
  CHECK(whole.slots == row.image);
  const Span cut{5 + 3, 5 + 8};  // of three tokens: the eos that stand behind the text of three
  TokenIds three = masked;
  std::copy(row.ids.begin() + cut.begin, row.ids.begin() + cut.end, three.begin() + cut.begin);
  CHECK(canvas(3).canvas.ids == three);
}

TEST_CASE("reasoning ends at its first eos, and the picture is drawn all the same") {
  std::vector<float> logits(100, 0.0f);
  logits[51] = 3.0f, logits[70] = 2.0f;  // eos, and one code
  const Generator generate(tiny::scripted_model(logits));
  const TextOptions reasoning{.gen_length = 12, .block_length = 4, .steps = 12};
  const ReasonedImageRequest request{
      {50, 3}, {}, reasoning, {.steps = 3, .max_text_length = 16, .greedy = true}};
  const Picture picture = generate.run(request);
  CHECK(picture.nfe == 1 + 3);  // the first token says it all
  CHECK(picture.reasoning_ids == TokenIds(12, 51));
  CHECK(picture.grid.codes == std::vector<int64_t>(16, 70 - 64));
  ReasonedImageRequest never = request;
  never.reasoning->early_stop = false;
  CHECK(generate.run(never).nfe == 12 + 3);
  CHECK(generate.run(never).ids == picture.ids);
}

TEST_CASE("a prompt for reasoning is what precedes the reasoning in a trained text") {
  const Generator generate = generator();
  const TokenIds prompt = generate.reasoning_prompt("a red box");
  const TokenIds text = generate.encode_text(r2i_text("a red box", "much"));
  REQUIRE(prompt.size() < text.size());
  CHECK(std::equal(prompt.begin(), prompt.end(), text.begin()));
  CHECK(generate.encode_text("<|end_header_id|>") == TokenIds(prompt.end() - 17, prompt.end()));
  Compat literal;
  literal.turn_terminator = TurnTerminator::kLiteral;
  CHECK(generate.reasoning_prompt("a red box", literal).size() == prompt.size() - 2);
}

TEST_CASE("reasoning that does not fit the text budget is refused with the numbers") {
  const TokenIds prompt{50, 3, 4};
  const ImageOptions options{.steps = 2, .max_text_length = 8};
  const Generator generate(tiny::random_model(1));
  CHECK(generate.reasoning_options(prompt, options).gen_length == 5);
  CHECK_THROWS_WITH(
      generate.run(
          ReasonedImageRequest{prompt, {}, TextOptions{.gen_length = 6, .block_length = 6}, options}),
      Catch::Contains("found 6 tokens") && Catch::Contains("at most 5") && Catch::Contains("budget 8"));
}

TEST_CASE("reasoned pictures of one batch are those of single calls, whatever stands beside them") {
  const Generator generate(tiny::random_model(2));
  const ReasonedImageRequest a{
      {50, 3, 4}, {}, {}, {.steps = 3, .guidance_scale = 1.5, .max_text_length = 16}};
  ReasonedImageRequest b = a;
  b.prompt = {50, 9, 8, 7, 6};
  const auto together = generate.batch({a, ImageRequest{{5}, {}, {.steps = 4}}, b});
  CHECK(std::get<Picture>(together[0]).ids == generate.run(a).ids);
  CHECK(std::get<Picture>(together[2]).ids == generate.run(b).ids);
}

TEST_CASE("inpainting keeps the codes under black and redraws those under white") {
  const Generator generate = generator();
  const Image picture = striped(16, 16);
  Image mask{.width = 16, .height = 16, .channels = 1, .pixels = std::vector<uint8_t>(256, 0)};
  for (int64_t y = 0; y < 16; ++y) std::fill(mask.row(y) + 8, mask.row(y) + 16, uint8_t{255});
  const CodeGrid before = generate.encode(picture), holes = generate.holes(picture, mask);
  const Picture after = generate.inpaint(picture, mask, "red", {.steps = 3});
  int64_t redrawn = 0;
  for (int64_t row = 0; row < 4; ++row)
    for (int64_t column = 0; column < 4; ++column) {
      if (column < 2)
        CHECK(after.grid.at(row, column) == before.at(row, column));
      else
        CHECK(holes.at(row, column) == -1);
      redrawn += holes.at(row, column) == -1;
    }
  CHECK(redrawn == 8);
}

TEST_CASE("extrapolation grows the picture move by move and leaves it as it was") {
  const Generator generate = generator();
  const CodeGrid start = generate.encode(striped(16, 16));
  const auto moves = parse_extrapolation("right *** down", "red *** sea");
  const Picture grown = generate.extrapolate(start, moves, {.steps = 3});
  CHECK(grown.grid.rows == 6);
  CHECK(grown.grid.columns == 6);
  CHECK(grown.width == 24);
  CHECK(grown.nfe == 6);
  for (int64_t row = 0; row < 4; ++row)
    for (int64_t column = 0; column < 4; ++column) CHECK(grown.grid.at(row, column) == start.at(row, column));
}

TEST_CASE("understanding puts the picture's codes and the question before the answer") {
  const Generator generate = generator();
  const Image picture = striped(16, 16);
  const TextAnswer reply = generate.understand(
      picture, "what?", {.gen_length = 8, .block_length = 8, .steps = 4, .early_stop = false});
  const TokenLayout layout = tiny::layout();
  REQUIRE(reply.ids.size() > 19);
  CHECK(reply.ids[0] == layout.mmu);
  CHECK(reply.ids[1] == layout.soi);
  const CodeGrid codes = generate.encode(picture);
  for (size_t i = 0; i < 16; ++i) CHECK(reply.ids[2 + i] == layout.image_token_offset + codes.codes[i]);
  CHECK(reply.ids[18] == layout.eoi);
  CHECK(reply.new_ids.size() == 8);
}

TEST_CASE("completing an answer about a picture fills its holes and keeps its given parts") {
  const Generator generate = generator();
  const TextAnswer reply = generate.complete(striped(16, 16), "what?", "it is [MASK:3] now", {.steps = 3});
  const TokenIds given = CharacterTokenizer().encode(" now");
  CHECK(reply.new_ids.size() == 3);
  CHECK(reply.ids.back() == tiny::layout().eos);
  CHECK(TokenIds(reply.ids.end() - 5, reply.ids.end() - 1) == given);
  CHECK(std::count(reply.ids.begin(), reply.ids.end(), tiny::layout().mask) == 0);
}

TEST_CASE("thinking puts the instruction before the last question") {
  const Generator generate = generator();
  const TextOptions plain{.gen_length = 4, .block_length = 4, .steps = 1};
  TextOptions think = plain;
  think.think = true;
  // the instruction alone is longer than this model's rows: the error shows that it is there
  CHECK(generate.text("why?", plain).new_ids.size() == 4);
  CHECK_THROWS_AS(generate.text(std::string(100, 'x'), think), Error);
}

TEST_CASE("an image tokenizer with another codebook is refused") {
  Model model = tiny::random_model(1);
  model.layout.codebook_size = 16;
  CHECK_THROWS_WITH(Generator(model, small_images()), Catch::Contains("32") && Catch::Contains("16"));
  CHECK_THROWS_WITH(Generator(tiny::random_model(1)).text("hello"), Catch::Contains("tokenizer"));
  CHECK_THROWS_WITH(Generator(tiny::random_model(1)).decode({1, 1, {0}}),
                    Catch::Contains("--image-tokenizer"));
}

}  // namespace
}  // namespace mmada
