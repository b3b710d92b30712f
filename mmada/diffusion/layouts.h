// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "mmada/core/types.h"
#include "mmada/text/token_layout.h"

namespace mmada {

/// One laid-out row (SPEC 4): its ids, the valid span, where its parts stand, and how much of it is prompt.
struct Row {
  TokenIds ids;
  Span valid;             ///< the rest is padding
  Span image;             ///< image slots (empty for pure text)
  Span text;              ///< bos .. eos of the text part
  std::vector<bool> prompt;  ///< true: never noised (training); empty: nothing is prompt
};

/// Text ids arrive without bos/eos; a leading bos is accepted and not doubled. `budget` is M (max_seq_length).
Row t2i_row(const TokenLayout& layout, const TokenIds& text, const TokenIds& image_ids, int64_t budget);
Row t2i_uncond_row(const TokenLayout& layout, const TokenIds& image_ids, int64_t budget);
Row lm_row(const TokenLayout& layout, const TokenIds& text, int64_t length);
Row lm_chat_row(const TokenLayout& layout, const TokenIds& text, int64_t length);
Row mmu_row(const TokenLayout& layout, const TokenIds& image_ids, const TokenIds& text, int64_t budget);
Row r2i_row(const TokenLayout& layout, const TokenIds& text, const TokenIds& image_ids, int64_t budget);
/// Inference prompt of image understanding: <mmu> soi img eoi + chat ids, no padding.
TokenIds mmu_prompt(const TokenLayout& layout, const TokenIds& image_ids, const TokenIds& chat);

}  // namespace mmada
