// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "mmada/core/types.h"
#include "mmada/ops/select_stream.h"

namespace mmada {

/// Classifier-free guidance: which second row runs beside a row, and how the two rows' logits mix.
class GuidancePolicy {
 public:
  virtual ~GuidancePolicy() = default;
  /// The unconditional counterpart of the row's current ids, of the same length.
  virtual TokenIds paired_ids(const TokenIds& ids) const = 0;
  virtual Span paired_valid(Span valid) const = 0;
  virtual GuidanceMix mix() const = 0;
};

/// Text (SPEC 5.1): the prompt's tokens become MASK; u + (scale + 1)(c - u).
class MaskedPromptGuidance : public GuidancePolicy {
 public:
  MaskedPromptGuidance(std::vector<int64_t> prompt_positions, int64_t mask, double scale);
  TokenIds paired_ids(const TokenIds& ids) const override;
  Span paired_valid(Span valid) const override { return valid; }
  GuidanceMix mix() const override { return {.scale = scale_, .difference_form = true}; }

 private:
  std::vector<int64_t> prompt_positions_;
  int64_t mask_;
  double scale_;
};

/// Images (SPEC 5.2): the row of the empty caption supplies its first `prefix` tokens; (1 + scale) c - scale
/// u.
class UnconditionalPrefixGuidance : public GuidancePolicy {
 public:
  UnconditionalPrefixGuidance(TokenIds unconditional_ids, Span unconditional_valid, int64_t prefix,
                              double scale);
  TokenIds paired_ids(const TokenIds& ids) const override;
  Span paired_valid(Span) const override { return unconditional_valid_; }
  GuidanceMix mix() const override { return {.scale = scale_, .difference_form = false}; }

 private:
  TokenIds unconditional_ids_;
  Span unconditional_valid_;
  int64_t prefix_;
  double scale_;
};

}  // namespace mmada
