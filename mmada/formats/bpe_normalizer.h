// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "mmada/formats/bpe_pieces.h"

namespace mmada::bpe {

/// Rewrites valid UTF-8 before it is cut (tokenizer.json's "normalizer").
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(std::string& text, Scratch& scratch) const = 0;
};

/// NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, Sequence; nullptr for null. Any other type is an
/// error.
std::unique_ptr<Normalizer> make_normalizer(const Json& json, const Place& place);

}  // namespace mmada::bpe
