// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <vector>

#include "mmada/core/types.h"
#include "mmada/ops/attention_op.h"

namespace mmada {

/// SPEC 1.3: how padding enters attention.
enum class AttentionMode {
  kNone,         ///< everything visible, padding too
  kAdditiveOne,  ///< +1 on the score where query and key both lie in the row's valid span, 0 elsewhere
  kHard,         ///< keys outside the row's valid span are hidden
};
AttentionMode attention_mode_from_name(std::string_view name);  ///< "none", "additive_one", "hard"
std::string_view attention_mode_name(AttentionMode mode);

/// What of the keys a query sees: the mode and the rows' valid spans (empty: every row is valid throughout).
struct Visibility {
  AttentionMode mode = AttentionMode::kHard;
  std::vector<Span> valid;
};

/// What the op reads of it, on the device: made once for all layers of a forward pass over `rows` rows of
/// `keys` tokens. Spans that are empty or leave the row are errors.
AttentionSpans attention_spans(const Visibility& visibility, int64_t rows, int64_t keys, at::Device device);

/// softmax(q k^T / sqrt(D)) v without causality. q [B, P, H, D], k and v [B, T, G, D] with G dividing H
/// (grouped queries) -> [B, P, H * D]. Under kHard keys and values are cut to the valid span, so no [P, T]
/// mask exists; queries outside the span attend to the valid keys as well. `query_positions_BP` (int64,
/// default 0..P-1) is read by kAdditiveOne alone. Differentiable in q, k and v.
at::Tensor attention(const at::Tensor& q_BPHD, const at::Tensor& k_BTGD, const at::Tensor& v_BTGD,
                     const Visibility& visibility, const std::optional<at::Tensor>& query_positions_BP = {});

}  // namespace mmada
