// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/core/types.h"

namespace mmada {

/// Text <-> token ids. Implementations: byte-level BPE (tokenizer.json) and SentencePiece.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of the text; special tokens written in the text are recognised, none are added around it.
  virtual TokenIds encode(std::string_view text) const = 0;
  /// Text of the ids; ids unknown to the tokenizer are an error that names the id.
  virtual std::string decode(const TokenIds& ids, bool skip_special = true) const = 0;
  /// The id of a token's exact spelling, such as "<|eot_id|>".
  virtual std::optional<int64_t> token_id(std::string_view token) const = 0;
  /// The spelling of an id; empty when unknown.
  virtual std::string token(int64_t id) const = 0;
  /// One more than the highest id: what the image codes follow (SPEC 3.1).
  virtual int64_t size() const = 0;
};

/// Loads tokenizer.json, a SentencePiece .model, or either out of a checkpoint directory.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& path);
/// Whether the path is, or the directory holds, a tokenizer.
bool has_tokenizer(const std::string& path);
/// The file that load_tokenizer reads for this path; empty when there is none.
std::string tokenizer_file(const std::string& path);

}  // namespace mmada
