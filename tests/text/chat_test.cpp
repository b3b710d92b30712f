// SPDX-License-Identifier: MIT
#include "mmada/text/chat.h"

#include <catch2/catch.hpp>

using namespace mmada;

TEST_CASE("the chat template trims contents and always opens an assistant header") {
  CHECK(apply_chat_template({}) == "<|startoftext|><|start_header_id|>assistant<|end_header_id|>\n");
  CHECK(apply_chat_template({{"system", "Be brief."}, {"user", " \n Why?\n"}}) ==
        "<|startoftext|><|start_header_id|>system<|end_header_id|>\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\nWhy?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n");
  CHECK(apply_chat_template({{"user", "a"}, {"assistant", "b"}}) ==
        "<|startoftext|><|start_header_id|>user<|end_header_id|>\na<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\nb<|eot_id|><|start_header_id|>assistant<|end_header_"
        "id|>\n");
}

TEST_CASE("contents lose the white space that Python's strip removes") {
  const std::string open = "<|startoftext|><|start_header_id|>user<|end_header_id|>\n";
  const std::string close = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n";
  CHECK(apply_chat_template({{"user", "\u00a0\u3000\u2003a b\u2029\x1f\u0085"}}) == open + "a b" + close);
  CHECK(apply_chat_template({{"user", " \u00a0 "}}) == open + close);
}

TEST_CASE("the reasoning instruction stands where each published program puts it") {
  const std::string instruction = kThinkInstruction;
  CHECK(instruction ==
        "You should first think about the reasoning process in the mind and then provide the user with the "
        "answer. The "
        "reasoning process is enclosed within <think> </think> tags, i.e. <think> reasoning process here "
        "</think> answer "
        "here\n");
  CHECK(think_question("Q") == instruction + "Q");
  CHECK(think_question("Q", ThinkStyle::kLmEval) == instruction + "\nQ");
  CHECK(think_question("Q", ThinkStyle::kVlmEval) == "Q" + instruction + "\n");
}

TEST_CASE("training strings differ between reference and fixed in the terminator alone") {
  CHECK(caption_text("q?", "a cat", TurnTerminator::kLiteral) ==
        "<|start_header_id|>user<|end_header_id|>\nq?<eot_id><|start_header_id|>assistant<|end_header_id|>"
        "\na cat");
  CHECK(caption_text("q?", "a cat") ==
        "<|start_header_id|>user<|end_header_id|>\nq?<|eot_id|><|start_header_id|>assistant<|end_header_id|>"
        "\na cat");
  CHECK(reasoning_text("q?", "<think> r </think> s", TurnTerminator::kLiteral) ==
        "<|start_header_id|>user<|end_header_id|>\n" + std::string(kThinkInstruction) +
            "q?\n<eot_id><|start_header_id|>assistant<|end_header_id|>\n<think> r </think> s");
  CHECK(
      r2i_text("short", "long", TurnTerminator::kLiteral) ==
      "<|start_header_id|>user<|end_header_id|>\nYou should first think out a more detailed version of the "
      "description "
      "and then provide the user with the image. The detailed description is enclosed within <think> "
      "</think> tags, "
      "i.e. <think> detailed description here </think> image here\nshort<eot_id><|start_header_id|>assistant"
      "<|end_header_id|>\n<think>long</think>");
}

TEST_CASE("an answer is cut into its reasoning and what follows") {
  const auto parts = split_answer("<think> 2 and 3\nmake 5 </think> 5 ");
  CHECK(parts.reasoning == "2 and 3\nmake 5");
  CHECK(parts.answer == "5");
  CHECK(split_answer(" no thoughts ").answer == "no thoughts");
  CHECK(split_answer("<think> never closed").answer == "<think> never closed");
  CHECK(split_answer("<think> never closed").reasoning.empty());
  CHECK(split_answer("</think> before <think> a </think> b").reasoning == "a");
  CHECK(split_answer("<think></think>").answer.empty());
}
