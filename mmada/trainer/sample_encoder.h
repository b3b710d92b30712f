// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "mmada/data/sample.h"
#include "mmada/text/token_layout.h"
#include "mmada/text/tokenizer.h"
#include "mmada/trainer/code_cache.h"
#include "mmada/vision/magvit2.h"
#include "mmada/vision/transforms.h"

namespace mmada {

/// The name that fit_from_name takes.
std::string fit_name(Fit fit);

/// A sample as ids of the vocabulary.
struct EncodedSample {
  TokenIds text;
  TokenIds image;                       ///< empty without a picture
  int64_t reasoning_end = 0;            ///< ids of `text` through its last "</think>"; 0: no reasoning
  std::vector<bool> shown;              ///< for each id of `text`: never masked; empty: any may be
  std::vector<int64_t> unlearned = {};  ///< ids that have no loss
};

/// How many of the text's ids reach through its last "</think>"; 0 where it has none.
int64_t reasoning_end(const Tokenizer& tokenizer, const std::string& text, const TokenIds& ids);

/// The ids of words behind a blank, each of them one token; `field` names them in errors.
std::vector<int64_t> word_ids(const Tokenizer& tokenizer, const std::vector<std::string>& words,
                              const std::string& field);

/// Turns samples into ids with frozen tokenizers.
///
/// Pictures are encoded one by one, so that a picture's codes never depend on its neighbours in a batch
/// (convolutions of another batch size round differently) and may be remembered: procedural data repeats
/// itself.
class SampleEncoder {
 public:
  struct Options {
    int64_t resolution = 256;           ///< side of the square picture that is encoded
    Fit fit = Fit::kClip;               ///< of pictures whose source says none
    int64_t cached_pictures = 1 << 16;  ///< in memory
    std::string cached_codes;           ///< folder of a CodeCache; empty: none
  };
  /// image_tokenizer may be null: samples with pictures are then errors.
  SampleEncoder(std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<const Magvit2> image_tokenizer,
                const TokenLayout& layout, const Options& options);

  /// find_reasoning: also where each text's reasoning ends, for flows that give it. masked_words: also what
  /// remains shown where only they may be masked. unlearned_words: also the ids that have no loss.
  std::vector<EncodedSample> encode(const std::vector<Sample>& samples, bool find_reasoning = false,
                                    const std::vector<std::string>& masked_words = {},
                                    const std::vector<std::string>& unlearned_words = {});
  /// Where damage to the codes on disk is reported.
  void log_to(std::ostream* log) { log_ = log; }
  const Options& options() const { return options_; }
  /// Null where there is none.
  const std::shared_ptr<const Magvit2>& image_tokenizer() const { return image_tokenizer_; }
  /// Tokens of a picture.
  int64_t image_tokens() const;

 private:
  Fit fit_of(const Sample& sample) const { return sample.fit.value_or(options_.fit); }
  CodeCache::Codes encode_picture(const Sample& sample) const;
  CodeCache* disk(Fit fit);
  std::vector<TokenIds> encode_pictures(const std::vector<const Sample*>& samples);

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const Magvit2> image_tokenizer_;
  TokenLayout layout_;
  Options options_;
  std::unordered_map<std::string, TokenIds> cache_;  ///< by SHA-256 of the pixels, and the fit
  std::ostream* log_ = nullptr;
  std::map<Fit, std::shared_ptr<CodeCache>> disks_;  ///< opened when asked; by the first half of the same key
};

}  // namespace mmada
