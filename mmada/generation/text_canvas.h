// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mmada/generation/canvas.h"
#include "mmada/generation/options.h"
#include "mmada/text/token_layout.h"
#include "mmada/text/tokenizer.h"

namespace mmada {

/// Semi-autoregressive generation (SPEC 5.1): the prompt, then gen_length MASKs in blocks, each block one
/// region. Throws Error when blocks or steps do not divide.
Canvas text_canvas(const TokenLayout& layout, const TokenIds& prompt, const TextOptions& options);

/// Its blocks over `answer`, of gen_length positions, one region each; without guidance. Throws as above;
/// options are valid.
std::vector<Region> text_blocks(const TokenLayout& layout, Span answer, const TextOptions& options);

/// Infilling (SPEC 5.3): every MASK among the ids is filled, as one block over all of them.
Canvas infill_canvas(const TokenLayout& layout, const TokenIds& ids, const TextOptions& options);

/// Ids of a text with holes: "[MASK:n]" stands for n tokens to be filled. The parts between the holes are
/// encoded one by one, so a hole always stands between whole tokens.
TokenIds encode_with_holes(const Tokenizer& tokenizer, const TokenLayout& layout, std::string_view text);

}  // namespace mmada
