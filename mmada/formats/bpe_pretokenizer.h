// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <vector>

#include "mmada/formats/bpe_pieces.h"

namespace mmada::bpe {

/// One step that cuts (and, for ByteLevel, rewrites) the pieces of a text.
class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual void apply(Pieces& pieces, Scratch& scratch) const = 0;
};

/// tokenizer.json's "pre_tokenizer" as a flat list of steps.
///
/// A final ByteLevel's rewriting into the byte alphabet is left to the model (byte_units() is true then),
/// which takes the pieces' bytes as they are: the same ids, without writing the text again.
class PreTokenizer {
 public:
  /// ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Sequence, null. Any other type is an error.
  PreTokenizer(const Json& json, const Place& place);

  void apply(Pieces& pieces, Scratch& scratch) const;
  bool byte_units() const { return byte_units_; }

 private:
  void add(const Json& json, const Place& place);
  void add_byte_level(Fields& fields, const Place& place);

  std::vector<std::unique_ptr<PreTokenizerStep>> steps_;
  bool byte_units_ = false;
};

}  // namespace mmada::bpe
