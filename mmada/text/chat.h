// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mmada/core/types.h"

namespace mmada {

class Tokenizer;

struct ChatMessage {
  std::string role;  ///< "user", "assistant" or "system"
  std::string content;
};

/// SPEC 3.2: bos, each message between header tokens, then always an open assistant header.
std::string apply_chat_template(const std::vector<ChatMessage>& messages);

/// SPEC 3.3's chain-of-thought instruction, verbatim (ends in a newline).
extern const char* const kThinkInstruction;
/// SPEC 3.3's instruction of reasoning before drawing (r2i), verbatim (ends in a newline).
extern const char* const kThinkImageInstruction;
/// The question that asks for a caption in demos.
extern const char* const kCaptionQuestion;

/// Where published programs put the chain-of-thought instruction around a question (SPEC 3.3).
enum class ThinkStyle {
  kChat,     ///< instruction, question: demo and thinking mode
  kLmEval,   ///< instruction without its newline, an empty line, question
  kVlmEval,  ///< question, instruction, newline
};
std::string think_question(std::string_view question, ThinkStyle style = ThinkStyle::kChat);

/// What ends a turn in the strings of captions, multimodal reasoning and r2i (SPEC 10): training data of the
/// published checkpoints spelled it without pipes, which the tokenizer cuts into plain pieces.
enum class TurnTerminator {
  kToken,    ///< "<|eot_id|>": fixed, the default
  kLiteral,  ///< "<eot_id>": reference
};
std::string_view terminator_text(TurnTerminator terminator);

/// SPEC 3.3's training strings, verbatim except for the terminator.
std::string caption_text(std::string_view question, std::string_view caption,
                         TurnTerminator terminator = TurnTerminator::kToken);
std::string reasoning_text(std::string_view question, std::string_view solution,
                           TurnTerminator terminator = TurnTerminator::kToken);
/// What precedes the reasoning in r2i_text, through the assistant's header: the prompt of reasoning before
/// drawing. (The newline behind the header is the model's to write: training has it among the targets.)
std::string r2i_prompt(std::string_view short_caption, TurnTerminator terminator = TurnTerminator::kToken);
std::string r2i_text(std::string_view short_caption, std::string_view caption,
                     TurnTerminator terminator = TurnTerminator::kToken);

/// The text of generated ids: decoded without special tokens (SPEC 3.2).
std::string answer_text(const Tokenizer& tokenizer, const TokenIds& ids);

/// An answer of the form "<think> reasoning </think> answer", white space around both parts removed.
struct Answer {
  std::string reasoning;  ///< empty when the text has no complete <think> ... </think>
  std::string answer;     ///< what follows </think>; the whole text when there is none
};
Answer split_answer(std::string_view text);

}  // namespace mmada
