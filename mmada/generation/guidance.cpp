// SPDX-License-Identifier: MIT
#include "mmada/generation/guidance.h"

#include <algorithm>
#include <utility>

namespace mmada {

MaskedPromptGuidance::MaskedPromptGuidance(std::vector<int64_t> prompt_positions, int64_t mask, double scale)
    : prompt_positions_(std::move(prompt_positions)), mask_(mask), scale_(scale) {}

TokenIds MaskedPromptGuidance::paired_ids(const TokenIds& ids) const {
  TokenIds paired = ids;
  for (const int64_t position : prompt_positions_) paired[position] = mask_;
  return paired;
}

UnconditionalPrefixGuidance::UnconditionalPrefixGuidance(TokenIds unconditional_ids, Span unconditional_valid,
                                                         int64_t prefix, double scale)
    : unconditional_ids_(std::move(unconditional_ids)),
      unconditional_valid_(unconditional_valid),
      prefix_(std::min<int64_t>(prefix, static_cast<int64_t>(unconditional_ids_.size()))),
      scale_(scale) {}

TokenIds UnconditionalPrefixGuidance::paired_ids(const TokenIds& ids) const {
  TokenIds paired = ids;
  std::copy_n(unconditional_ids_.begin(), prefix_, paired.begin());
  return paired;
}

}  // namespace mmada
