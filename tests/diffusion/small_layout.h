// SPDX-License-Identifier: MIT
#pragma once

#include "mmada/text/token_layout.h"

namespace mmada::test {

inline constexpr int64_t kBos = 50, kEos = 51, kMask = 52, kSoi = 53, kEoi = 54, kT2i = 55, kMmu = 56,
                         kR2i = 57, kPad = 58, kStart = 59, kEnd = 60, kEot = 61;
inline constexpr int64_t kUser = 1, kAssistant = 2;  // role names, one token each

/// A vocabulary of 80 ids: words below 50, specials, and the codes 64..79.
inline TokenLayout small_layout() {
  TokenLayout layout;
  layout.vocab_size = 80;
  layout.bos = kBos, layout.eos = kEos, layout.mask = kMask;
  layout.soi = kSoi, layout.eoi = kEoi, layout.t2i = kT2i, layout.mmu = kMmu, layout.r2i = kR2i;
  layout.image_pad = kPad;
  layout.start_header = kStart, layout.end_header = kEnd, layout.eot = kEot;
  layout.image_token_offset = 64, layout.codebook_size = 16;
  return layout;
}

}  // namespace mmada::test
