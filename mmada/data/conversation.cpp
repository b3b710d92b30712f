// SPDX-License-Identifier: MIT
#include "mmada/data/conversation.h"

#include "mmada/core/check.h"

namespace mmada {

std::string conversation_text(const std::vector<ChatMessage>& messages) {
  static const std::string kBos = "<|startoftext|>";
  // With no message the template is bos and the open header alone: what has to come off either end.
  const std::string header = apply_chat_template({}).substr(kBos.size());
  const std::string text = apply_chat_template(messages);
  MMADA_CHECK(text.size() >= kBos.size() + header.size(), "chat template: found \"", text,
              "\", expected it to begin with bos and end with an open assistant header");
  return text.substr(kBos.size(), text.size() - kBos.size() - header.size());
}

std::string conversation_text(const std::string& question, const std::string& reply) {
  return conversation_text({{"user", question}, {"assistant", reply}});
}

}  // namespace mmada
