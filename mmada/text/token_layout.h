// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/core/types.h"

namespace mmada {

class Tokenizer;

/// The one home of ids (SPEC 3.1): special tokens, the mask, and where the image codes begin.
///
/// Special ids come from the tokenizer's tokens, else from config.json, else (vocab_size 134656 or 126464)
/// from the published table. An id that falls inside the code range is an error.
struct TokenLayout {
  int64_t vocab_size = 0;
  int64_t bos = -1;                                      ///< <|startoftext|>
  int64_t eos = -1;                                      ///< <|endoftext|>, also the right padding
  int64_t mask = -1;                                     ///< <|mdm_mask|>
  int64_t soi = -1, eoi = -1;                            ///< around an image
  int64_t t2i = -1, mmu = -1, r2i = -1;                  ///< task tokens
  int64_t image_pad = -1;                                ///< [iPAD], the left padding of t2i rows
  int64_t start_header = -1, end_header = -1, eot = -1;  ///< chat template
  int64_t image_token_offset = -1;                       ///< id of code 0; -1: image tasks are refused
  int64_t codebook_size = 0;

  bool has_images() const { return image_token_offset >= 0; }
  /// Ids text may take: everything below the image codes (all of the vocabulary without images).
  Window text_window() const;
  /// The image codes; throws when the model has none.
  Window code_window() const;
  Window full_window() const { return {0, vocab_size}; }
  /// Names (bos, eos, ...) and ids of the special tokens that the model has.
  std::vector<std::pair<std::string, int64_t>> special_ids() const;

  /// Throw one error that lists the ids a task lacks: text needs mask and eos; chat also bos and the header
  /// tokens; images the codes and what surrounds them (t2i, mmu: also the task token; t2i also [iPAD]).
  void require_text() const;
  void require_chat() const;
  void require_images() const;
  void require_t2i() const;
  void require_mmu() const;

  bool operator==(const TokenLayout&) const = default;
};

/// Builds and validates the layout of a checkpoint. `config` is config.json's object (keys vocab_size,
/// codebook_size, mask_token_id, eos_token_id, image_token_offset and, for checkpoints without a tokenizer,
/// special ids under "special_token_ids": {"bos": 1, ...}, named like TokenLayout's members); tokenizer may
/// be null, `source` names config.json in errors. Offset rule: config key image_token_offset, else
/// tokenizer.size(), else 126349 where vocab_size is 134656, else none; a model without a codebook
/// (codebook_size absent or 0, vocab_size not 134656) has no offset.
TokenLayout make_token_layout(const Json& config, const Tokenizer* tokenizer, const std::string& source);

}  // namespace mmada
