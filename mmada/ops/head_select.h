// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <span>
#include <vector>

#include "mmada/ops/select_stream.h"

namespace mmada {

/// Rows of hidden states whose tokens are chosen under the same settings: one for each of params.positions,
/// and behind them, where guided, as many twins.
struct HeadRows {
  SelectParams params;  ///< its window is what the head's rows stand for
  std::optional<GuidanceMix> guidance;
  /// Softmax and confidence in the dtype of the weights, as the published image sampler does (SPEC 10).
  bool in_weight_dtype = false;

  int64_t hidden_rows() const { return static_cast<int64_t>(params.positions.size()) * (guidance ? 2 : 1); }
};

/// Chooses a token per position straight from hidden states, as select_tokens does from logits, without a
/// [rows, vocabulary] buffer: the vocabulary passes in chunks, folded into a few numbers per row.
///
/// hidden_ND holds the groups' rows one after another, head_WD the window's rows of the head. Statistics are
/// fp32. Whole rows of logits exist only for groups that ask for top-k or top-p with noise (64 rows at a
/// time), and for double precision and the weights' dtype, which are chosen on the CPU as published. At most
/// 16 MiB of logits at a time below 2048 rows; a group is never split.
std::vector<Selected> select_from_head(const at::Tensor& hidden_ND, const at::Tensor& head_WD,
                                       std::span<const HeadRows> groups);

}  // namespace mmada
