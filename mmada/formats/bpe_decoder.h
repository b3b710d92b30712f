// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mmada/formats/bpe_pieces.h"

namespace mmada::bpe {

/// Turns tokens back into text (tokenizer.json's "decoder"): each decoder maps a list of strings to a list of
/// strings, and the last list is joined.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Refuses to make more than max_bytes of text.
  virtual std::vector<std::string> apply(std::vector<std::string> tokens, size_t max_bytes) const = 0;
};

/// ByteLevel, ByteFallback, Fuse, Strip, Replace, Sequence; for null the tokens are joined by single spaces,
/// as the tokenizers package does. Any other type is an error.
std::unique_ptr<Decoder> make_decoder(const Json& json, const Place& place);

}  // namespace mmada::bpe
