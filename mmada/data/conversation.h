// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "mmada/text/chat.h"

namespace mmada {

/// Training text of finished turns: the chat template without its leading bos (the row layout adds it) and
/// without the open assistant header at its end (SPEC 6.6).
std::string conversation_text(const std::vector<ChatMessage>& messages);
/// One question of the user's and its reply.
std::string conversation_text(const std::string& question, const std::string& reply);

}  // namespace mmada
