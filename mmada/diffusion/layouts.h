// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "mmada/core/types.h"
#include "mmada/text/token_layout.h"

namespace mmada {

/// One laid-out row (SPEC 4): its ids, the valid span, where its parts stand, and how much of it is prompt.
///
/// The multimodal rows of a budget M and N image tokens all have length M + N + 3.
struct Row {
  TokenIds ids;
  Span valid;  ///< what attention may see; the rest is padding. Eos padding is valid: it is learned
  Span image;  ///< image slots (empty for pure text)
  Span text;   ///< bos .. eos of the text part, padding excluded
  std::vector<bool> prompt;  ///< true: never noised (training); empty: nothing is prompt
};

/// Text ids arrive without eos; a leading bos is accepted and not doubled. `budget` is M (max_seq_length), at
/// least 2. Image ids are vocabulary ids of codes, or MASK. Ids outside their range are errors.

/// `[iPAD]*k <t2i> bos text eos` (M + 1) soi image eoi. Too long text: the first M slots stay, the last
/// becomes eos. Everything but the image is prompt. With an image of MASK ids it is the inference row (the
/// reference's t2i_gen).
Row t2i_row(const TokenLayout& layout, const TokenIds& text, const TokenIds& image_ids, int64_t budget);
/// The row of an empty caption: dropped conditions in training, the unconditional row of guidance.
Row t2i_uncond_row(const TokenLayout& layout, const TokenIds& image_ids, int64_t budget);
/// `bos text eos` padded with eos to `length`, all of it noised; too long text is cut, without eos.
Row lm_row(const TokenLayout& layout, const TokenIds& text, int64_t length);
/// As lm_row with a prompt: everything through the last end-of-header token that survived the cut, nothing
/// without one.
Row lm_chat_row(const TokenLayout& layout, const TokenIds& text, int64_t length);
/// As lm_chat_row, but every turn whose role is spelled by the ids `assistant` is an answer; prompt is each
/// other turn and every header. An answer reaches through the eot that closes its turn; the last one through
/// the padding.
Row lm_chat_row_all_turns(const TokenLayout& layout, const TokenIds& text, const TokenIds& assistant,
                          int64_t length);
/// `<mmu> soi image eoi` + `bos text eos` (M), padded with eos; too long text: the first M - 1 ids and eos.
/// Prompt: the image part and the text through its last header.
Row mmu_row(const TokenLayout& layout, const TokenIds& image_ids, const TokenIds& text, int64_t budget);
/// `<r2i>` + `bos text eos` (M, padded and cut as in mmu_row) + soi image eoi. Noised: the text after its
/// last header (without a header none of it) and the image.
Row r2i_row(const TokenLayout& layout, const TokenIds& text, const TokenIds& image_ids, int64_t budget);

/// The row with at most `tail` of the eos that pad its text: what follows them moves up, and the row is as
/// much shorter. -1: the row as it is.
Row without_padding(Row row, int64_t tail);

/// Inference prompt of image understanding: <mmu> soi img eoi + chat ids, no padding.
TokenIds mmu_prompt(const TokenLayout& layout, const TokenIds& image_ids, const TokenIds& chat);
/// Inference prompt of text: the chat ids with a leading bos, no padding.
TokenIds lm_prompt(const TokenLayout& layout, const TokenIds& chat);
/// N times MASK: the image of an inference row.
TokenIds masked_image(const TokenLayout& layout, int64_t tokens);

}  // namespace mmada
