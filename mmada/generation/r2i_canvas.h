// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "mmada/generation/canvas.h"
#include "mmada/generation/options.h"
#include "mmada/text/token_layout.h"

namespace mmada {

/// A canvas of reasoning and the picture drawn after it, and where both stand.
struct R2iCanvas {
  Canvas canvas;
  Span reasoning;
  Span slots;
};

/// How many tokens of reasoning a text budget of M leaves behind a prompt; not positive where it leaves none.
int64_t r2i_room(const TokenLayout& layout, const TokenIds& prompt, int64_t budget);

/// Reasoning before drawing: the r2i row (SPEC 4) of a prompt through its last header, as r2i_row lays it out
/// for training, with MASK where training masks: reasoning.gen_length tokens behind the prompt (the rest of
/// the budget's M slots are eos, as behind a trained text), and the codes that are -1. The text is filled
/// first, block by block (SPEC 5.1), then the picture (SPEC 5.2), which so sees the reasoning whole.
///
/// Nothing was published that generates so; what is chosen here:
/// * The reasoning ends at its first eos under every Compat that ends text early, and its rest becomes eos.
/// * The picture's unconditional row is the t2i row of the empty caption. Training drops the condition of t2i
///   rows only, so that it is the one row without a condition that a model has learned; its picture stands at
///   the positions of the r2i row's. A row of no reasoning would be one that no training has shown.
/// * The reasoning's unconditional row has MASK for all before the reasoning, as any text's.
///
/// Seed, stream and compat are `options`'. Throws Error where prompt and reasoning do not fit the budget.
R2iCanvas r2i_canvas(const TokenLayout& layout, const TokenIds& prompt, const std::vector<int64_t>& codes,
                     int64_t budget, TextOptions reasoning, const ImageOptions& options,
                     c10::ScalarType weight_dtype);

}  // namespace mmada
