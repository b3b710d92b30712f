// SPDX-License-Identifier: MIT
#include "mmada/text/chat.h"

#include "mmada/formats/bpe_unicode.h"
#include "mmada/text/tokenizer.h"

namespace mmada {
namespace {

/// Without the white space that Python's str.strip removes (Jinja's trim): White_Space and U+001C to U+001F.
std::string trimmed(std::string_view text) {
  const auto is_space = [](uint32_t c) { return bpe::is_white_space(c) || (c >= 0x1c && c <= 0x1f); };
  const std::string valid = bpe::to_valid_utf8(text);
  size_t end = valid.size();
  while (end > 0) {
    const size_t last = bpe::previous_codepoint(valid, end);
    size_t at = last;
    if (!is_space(bpe::next_codepoint(valid, at))) break;
    end = last;
  }
  size_t begin = 0;
  for (size_t at = 0; at < end && is_space(bpe::next_codepoint(valid, at));) begin = at;
  return valid.substr(begin, end - begin);
}

std::string header(std::string_view role) {
  return "<|start_header_id|>" + std::string(role) + "<|end_header_id|>\n";
}

std::string exchange(std::string_view user, TurnTerminator terminator, std::string_view assistant) {
  return header("user").append(user).append(terminator_text(terminator)) +
         header("assistant").append(assistant);
}

}  // namespace

const char* const kThinkInstruction =
    "You should first think about the reasoning process in the mind and then provide the user with the "
    "answer. "
    "The reasoning process is enclosed within <think> </think> tags, i.e. <think> reasoning process here "
    "</think> "
    "answer here\n";
const char* const kThinkImageInstruction =
    "You should first think out a more detailed version of the description and then provide the user with "
    "the image. "
    "The detailed description is enclosed within <think> </think> tags, i.e. <think> detailed description "
    "here "
    "</think> image here\n";
const char* const kCaptionQuestion = "Please describe this image in detail.";

std::string apply_chat_template(const std::vector<ChatMessage>& messages) {
  std::string text = "<|startoftext|>";
  for (const auto& message : messages) text += header(message.role) + trimmed(message.content) + "<|eot_id|>";
  return text + header("assistant");
}

std::string think_question(std::string_view question, ThinkStyle style) {
  const std::string_view instruction = kThinkInstruction;
  std::string text;
  switch (style) {
    case ThinkStyle::kChat:
      return text.append(instruction).append(question);
    case ThinkStyle::kLmEval:
      return text.append(instruction.substr(0, instruction.size() - 1)).append("\n\n").append(question);
    case ThinkStyle::kVlmEval:
      return text.append(question).append(instruction).append("\n");
  }
  return text;
}

std::string_view terminator_text(TurnTerminator terminator) {
  return terminator == TurnTerminator::kToken ? "<|eot_id|>" : "<eot_id>";
}

std::string caption_text(std::string_view question, std::string_view caption, TurnTerminator terminator) {
  return exchange(question, terminator, caption);
}

std::string reasoning_text(std::string_view question, std::string_view solution, TurnTerminator terminator) {
  return exchange(std::string(kThinkInstruction).append(question).append("\n"), terminator, solution);
}

std::string r2i_prompt(std::string_view short_caption, TurnTerminator terminator) {
  std::string prompt = exchange(std::string(kThinkImageInstruction).append(short_caption), terminator, "");
  prompt.pop_back();  // the newline behind the header
  return prompt;
}

std::string r2i_text(std::string_view short_caption, std::string_view caption, TurnTerminator terminator) {
  return r2i_prompt(short_caption, terminator).append("\n<think>").append(caption).append("</think>");
}

std::string answer_text(const Tokenizer& tokenizer, const TokenIds& ids) {
  return tokenizer.decode(ids, true);
}

Answer split_answer(std::string_view text) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  const size_t open = text.find(kOpen);
  const size_t close = open == std::string_view::npos ? open : text.find(kClose, open);
  if (close == std::string_view::npos) return {"", trimmed(text)};
  const size_t begin = open + kOpen.size();
  return {trimmed(text.substr(begin, close - begin)), trimmed(text.substr(close + kClose.size()))};
}

}  // namespace mmada
