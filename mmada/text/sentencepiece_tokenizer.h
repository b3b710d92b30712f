// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "mmada/text/tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace mmada {

/// A SentencePiece model. Text between control pieces (such as <s>) that are written out is encoded on its
/// own, since the library itself reads their spelling as plain text; user-defined pieces are the library's.
class SentencePieceTokenizer final : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(const std::string& path);
  ~SentencePieceTokenizer() override;

  TokenIds encode(std::string_view text) const override;
  std::string decode(const TokenIds& ids, bool skip_special) const override;
  std::optional<int64_t> token_id(std::string_view token) const override;
  std::string token(int64_t id) const override;
  int64_t size() const override;

 private:
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  std::vector<std::pair<std::string, int>> control_;  ///< longest spelling first
};

}  // namespace mmada
