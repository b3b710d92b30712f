// SPDX-License-Identifier: MIT
// SPEC 4's rows, written out by hand for a small vocabulary.
#include "mmada/diffusion/layouts.h"

#include <catch2/catch.hpp>

#include "mmada/core/check.h"
#include "tests/diffusion/small_layout.h"

namespace {

using namespace mmada;

using namespace mmada::test;

const TokenIds kImage = {64, 70, 79, kMask};

std::string prompt_text(const Row& row) {
  std::string text;
  for (const bool prompt : row.prompt) text += prompt ? 'p' : '.';
  return text;
}

}  // namespace

TEST_CASE("a t2i row pads on the left to the budget plus one") {
  const Row row = t2i_row(small_layout(), {10, 11}, kImage, 6);
  CHECK(row.ids == TokenIds{kPad, kPad, kT2i, kBos, 10, 11, kEos, kSoi, 64, 70, 79, kMask, kEoi});
  CHECK(row.valid == Span{2, 13});
  CHECK(row.image == Span{8, 12});
  CHECK(row.text == Span{3, 7});
  CHECK(prompt_text(row) == "pppppppp....p");
}

TEST_CASE("a t2i row whose text fits exactly has no padding and loses nothing") {
  const Row row = t2i_row(small_layout(), {10, 11, 12, 13}, kImage, 6);
  CHECK(row.ids == TokenIds{kT2i, kBos, 10, 11, 12, 13, kEos, kSoi, 64, 70, 79, kMask, kEoi});
  CHECK(row.valid == Span{0, 13});
}

TEST_CASE("a t2i row that is too long keeps the first M slots and ends in eos") {
  const Row row = t2i_row(small_layout(), {10, 11, 12, 13, 14, 15}, kImage, 6);
  CHECK(row.ids == TokenIds{kT2i, kBos, 10, 11, 12, 13, kEos, kSoi, 64, 70, 79, kMask, kEoi});
  CHECK(row.valid == Span{0, 13});
  CHECK(row.text == Span{1, 7});
}

TEST_CASE("a leading bos is not doubled") {
  const TokenLayout layout = small_layout();
  CHECK(t2i_row(layout, {kBos, 10}, kImage, 6).ids == t2i_row(layout, {10}, kImage, 6).ids);
  CHECK(lm_row(layout, {kBos, 10}, 6).ids == lm_row(layout, {10}, 6).ids);
  CHECK(mmu_row(layout, kImage, {kBos, 10}, 6).ids == mmu_row(layout, kImage, {10}, 6).ids);
  CHECK(lm_prompt(layout, {kBos, 10}) == TokenIds{kBos, 10});
  CHECK(lm_prompt(layout, {10}) == TokenIds{kBos, 10});
}

TEST_CASE("the unconditional t2i row is task, bos and eos behind the padding") {
  const Row row = t2i_uncond_row(small_layout(), masked_image(small_layout(), 2), 4);
  CHECK(row.ids == TokenIds{kPad, kPad, kT2i, kBos, kEos, kSoi, kMask, kMask, kEoi});
  CHECK(row.valid == Span{2, 9});
  CHECK(t2i_uncond_row(small_layout(), kImage, 2).ids ==
        TokenIds{kT2i, kBos, kEos, kSoi, 64, 70, 79, kMask, kEoi});
}

TEST_CASE("an lm row closes with eos and pads with eos, all of it visible and noised") {
  const Row row = lm_row(small_layout(), {10, 11}, 7);
  CHECK(row.ids == TokenIds{kBos, 10, 11, kEos, kEos, kEos, kEos});
  CHECK(row.valid == Span{0, 7});
  CHECK(row.text == Span{0, 4});
  CHECK(row.image.size() == 0);
  CHECK(row.prompt.empty());
}

TEST_CASE("an lm row that is too long is cut without eos") {
  CHECK(lm_row(small_layout(), {10, 11, 12, 13}, 4).ids == TokenIds{kBos, 10, 11, 12});
  CHECK(lm_row(small_layout(), {10, 11, 12}, 4).ids == TokenIds{kBos, 10, 11, 12});
  CHECK(lm_row(small_layout(), {10, 11}, 4).ids == TokenIds{kBos, 10, 11, kEos});
  CHECK(lm_row(small_layout(), {}, 3).ids == TokenIds{kBos, kEos, kEos});
}

TEST_CASE("an lm_chat row supervises what follows its last header") {
  const TokenIds chat = {kBos, kStart, kUser, kEnd, 10, kEot, kStart, kAssistant, kEnd, 11, kEot};
  const Row row = lm_chat_row(small_layout(), chat, 14);
  CHECK(prompt_text(row) == "ppppppppp.....");
  CHECK(row.ids.back() == kEos);
}

TEST_CASE("an lm_chat row that lost its headers to the cut is noised as a whole") {
  CHECK(prompt_text(lm_chat_row(small_layout(), {10, 11, 12, kEnd, 13}, 4)) == "....");
  CHECK(prompt_text(lm_chat_row(small_layout(), {10, kEnd, 12, kEnd, 13}, 4)) == "ppp.");
}

TEST_CASE("the all-turns option supervises every assistant turn and no header") {
  const TokenIds chat = {kStart, kUser, kEnd, 10, kEot, kStart, kAssistant, kEnd, 11, kEot,
                         kStart, kUser, kEnd, 12, kEot, kStart, kAssistant, kEnd, 13, kEot};
  const Row row = lm_chat_row_all_turns(small_layout(), chat, {kAssistant}, 24);
  CHECK(prompt_text(row) == "ppppppppp..pppppppp.....");
  CHECK(prompt_text(lm_chat_row_all_turns(small_layout(), chat, {kAssistant}, 13)) == "ppppppppp..pp");
  CHECK(prompt_text(lm_chat_row_all_turns(small_layout(), {10, 11}, {kAssistant}, 5)) == ".....");
}

TEST_CASE("an mmu row supervises the answer and the eos padding after it") {
  const TokenIds chat = {kStart, kUser, kEnd, 10, kStart, kAssistant, kEnd, 11};
  const Row row = mmu_row(small_layout(), kImage, chat, 12);
  CHECK(row.ids == TokenIds{kMmu, kSoi, 64, 70, 79, kMask, kEoi, kBos, kStart, kUser, kEnd, 10, kStart,
                            kAssistant, kEnd, 11, kEos, kEos, kEos});
  CHECK(row.valid == Span{0, 19});
  CHECK(row.image == Span{2, 6});
  CHECK(row.text == Span{7, 17});
  CHECK(prompt_text(row) == "ppppppppppppppp....");
}

TEST_CASE("an mmu row that is too long keeps M - 1 ids and eos") {
  const Row row = mmu_row(small_layout(), kImage, {10, 11, 12, 13}, 4);
  CHECK(row.ids == TokenIds{kMmu, kSoi, 64, 70, 79, kMask, kEoi, kBos, 10, 11, kEos});
  CHECK(mmu_row(small_layout(), kImage, {10, 11}, 4).ids == row.ids);
  CHECK(row.text == Span{7, 11});
}

TEST_CASE("an mmu row without a header has its whole text as answer") {
  CHECK(prompt_text(mmu_row(small_layout(), kImage, {10}, 5)) == "ppppppp.....");
}

TEST_CASE("an r2i row supervises the text after its header and the image") {
  const Row row = r2i_row(small_layout(), {kStart, kUser, kEnd, 10}, kImage, 7);
  CHECK(row.ids == TokenIds{kR2i, kBos, kStart, kUser, kEnd, 10, kEos, kEos, kSoi, 64, 70, 79, kMask, kEoi});
  CHECK(prompt_text(row) == "ppppp...p....p");
  CHECK(row.text == Span{1, 7});
  CHECK(row.image == Span{9, 13});
  CHECK(row.valid == Span{0, 14});
}

TEST_CASE("an r2i row without a header has its whole text as prompt") {
  CHECK(prompt_text(r2i_row(small_layout(), {10}, kImage, 4)) == "pppppp....p");
  CHECK(r2i_row(small_layout(), {10, 11, 12, 13}, kImage, 4).ids ==
        TokenIds{kR2i, kBos, 10, 11, kEos, kSoi, 64, 70, 79, kMask, kEoi});
}

TEST_CASE("all multimodal rows of a budget have the same length") {
  const TokenLayout layout = small_layout();
  for (const TokenIds& text : {TokenIds{}, TokenIds{10}, TokenIds(40, 10)})
    for (const int64_t budget : {2, 5, 30}) {
      CHECK(static_cast<int64_t>(t2i_row(layout, text, kImage, budget).ids.size()) == budget + 7);
      CHECK(static_cast<int64_t>(mmu_row(layout, kImage, text, budget).ids.size()) == budget + 7);
      CHECK(static_cast<int64_t>(r2i_row(layout, text, kImage, budget).ids.size()) == budget + 7);
    }
}

TEST_CASE("the understanding prompt is the image part and the chat without padding") {
  CHECK(mmu_prompt(small_layout(), {64, 65}, {kBos, 10}) == TokenIds{kMmu, kSoi, 64, 65, kEoi, kBos, 10});
}

TEST_CASE("rows refuse ids, budgets and models that do not fit") {
  const TokenLayout layout = small_layout();
  TokenLayout text_only = layout;
  text_only.image_token_offset = -1;
  CHECK_THROWS_WITH(t2i_row(layout, {10}, {63}, 6), Catch::Contains("image id 0: found 63"));
  CHECK_THROWS_WITH(mmu_row(layout, {80}, {10}, 6), Catch::Contains("image id 0: found 80"));
  CHECK_THROWS_WITH(lm_row(layout, {10, -1}, 6), Catch::Contains("text id 1: found -1"));
  CHECK_THROWS_WITH(t2i_row(layout, {10}, kImage, 1), Catch::Contains("budget of 1"));
  CHECK_THROWS_AS(t2i_row(text_only, {10}, kImage, 6), Error);
  text_only = layout;
  text_only.r2i = -1;
  CHECK_THROWS_WITH(r2i_row(text_only, {10}, kImage, 6), Catch::Contains("<|r2i|>"));
}

TEST_CASE("eos padding is left out up to a tail, and what follows it moves up") {
  const TokenLayout layout = small_layout();
  const Row chat = lm_chat_row(layout, {kStart, 10, kEnd, 11}, 10);
  CHECK(without_padding(chat, -1).ids == chat.ids);
  const Row cut = without_padding(chat, 1);
  CHECK(cut.ids == TokenIds{kBos, kStart, 10, kEnd, 11, kEos, kEos});
  CHECK(cut.valid == Span{0, 7});
  CHECK(prompt_text(cut) == "pppp...");
  CHECK(without_padding(chat, 100).ids == chat.ids);

  const Row mmu = without_padding(mmu_row(layout, kImage, {10}, 6), 0);
  CHECK(mmu.ids == TokenIds{kMmu, kSoi, 64, 70, 79, kMask, kEoi, kBos, 10, kEos});
  CHECK(mmu.image == Span{2, 6});

  const Row r2i = without_padding(r2i_row(layout, {kEnd, 10}, kImage, 8), 1);
  CHECK(r2i.ids == TokenIds{kR2i, kBos, kEnd, 10, kEos, kEos, kSoi, 64, 70, 79, kMask, kEoi});
  CHECK(r2i.image == Span{7, 11});
  CHECK(r2i.valid == Span{0, 12});
  CHECK(prompt_text(r2i) == "ppp...p....p");

  const Row t2i = t2i_row(layout, {10, 11}, kImage, 6);  // padded on the left, which is hidden
  CHECK(without_padding(t2i, 0).ids == t2i.ids);
  const Row full = lm_row(layout, {10, 11, 12, 13, 14}, 4);
  CHECK(without_padding(full, 0).ids == full.ids);
}
