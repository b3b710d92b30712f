// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mmada {

struct BpeTrainerOptions {
  int64_t vocab_size = 512;                 ///< most ids: special and added tokens, 256 bytes, merges
  std::vector<std::string> special_tokens;  ///< first ids, in this order; decode leaves them out
  std::vector<std::string>
      added_tokens;                ///< next ids: recognised as one token, but part of the text ("<think>")
  bool individual_digits = false;  ///< every digit is a token of its own
  int64_t min_frequency = 0;       ///< a pair seen less often is not merged
};

/// Gives the next text, or false at the end.
using TextSource = std::function<bool(std::string& text)>;

/// Trains a byte-level BPE tokenizer (GPT-2's words) and returns the text of its tokenizer.json, which
/// BpeTokenizer and the `tokenizers` package load. Deterministic: the most frequent pair merges first, among
/// equals the one with the lower ids, as in the package's BpeTrainer, with which it agrees in vocabulary and
/// merges. The trainer stops early when no pair is left. Special and added tokens in the texts are passed
/// over (the package's trainer would cut them to pieces).
std::string train_bpe(const TextSource& next_text, const BpeTrainerOptions& options);

}  // namespace mmada
