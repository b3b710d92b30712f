// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace mmada {

struct ChatMessage {
  std::string role;  ///< "user", "assistant" or "system"
  std::string content;
};

/// SPEC 3.2: bos, each message between header tokens, then always an open assistant header.
std::string apply_chat_template(const std::vector<ChatMessage>& messages);

/// SPEC 3.3's chain-of-thought instruction, verbatim (ends in a newline).
extern const char* const kThinkInstruction;

}  // namespace mmada
