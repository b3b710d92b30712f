// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/core/types.h"
#include "mmada/diffusion/corrupt.h"
#include "mmada/text/token_layout.h"

namespace mmada {

/// What a training loss is made of: sum_i weight_i * -log p(target_i | position_i) over a vocabulary window.
struct WeightedTargets {
  at::Tensor positions_N;    ///< int64, flat row-major positions b*T+t
  at::Tensor targets_N;      ///< int64 vocabulary ids, all inside the window
  at::Tensor weights_N;      ///< fp32, denominators included
  Window window;             ///< the ids the softmax runs over
  std::string flow;          ///< "t2i", "lm", "mmu", ...: the name the loss is logged under
  double coefficient = 1.0;  ///< of this flow in the total
};

/// The tasks a row can train (SPEC 4).
enum class FlowKind { kT2i, kLm, kLmChat, kMmu, kR2i };
FlowKind flow_kind_from_name(std::string_view name);  ///< "t2i", "lm", "lm_chat", "mmu", "r2i"
std::string_view flow_kind_name(FlowKind kind);

/// The rows of SPEC 10 that concern training losses.
struct LossCompat {
  bool t2i_boundary_targets = false;  ///< soi and eoi, visible in every row, are targets too
  bool t2i_code_window = true;        ///< image tokens: softmax over the codes alone, as they are sampled
  bool t2i_inverse_time = false;      ///< 1/t weights: every row counts the same, not every masked token

  static LossCompat fixed() { return {}; }
  static LossCompat reference() { return {.t2i_boundary_targets = true, .t2i_code_window = false}; }
};

/// One row's share of a flow's loss.
struct RowTargets {
  std::vector<int64_t> positions;  ///< within the row
  std::vector<int64_t> targets;    ///< vocabulary ids
  std::vector<float> weights;
};

/// What a flow's rows of one optimizer step count together, over all micro-batches and processes.
struct FlowTotals {
  int64_t rows = 0;
  int64_t targets = 0;  ///< positions that have a loss
};
/// Of some of the rows; sums give the step's.
FlowTotals flow_totals(FlowKind kind, std::span<const NoisedRow> rows, const LossCompat& compat = {});

/// Targets of some of the rows of a flow; the weights sum over the step whose totals are given, so that
/// cutting the rows into micro-batches or over processes changes nothing. No rows, no targets.
///
/// t2i: mean over all targets (or, with t2i_inverse_time, the mean over rows of each row's mean). Others: CE
/// / (p * l) averaged over rows, l = answer length (all positions of an lm row).
std::vector<RowTargets> flow_targets(FlowKind kind, std::span<const NoisedRow> rows, const FlowTotals& step,
                                     const LossCompat& compat = {});
/// The window a flow's softmax runs over.
Window flow_window(FlowKind kind, const TokenLayout& layout, const LossCompat& compat = {});

/// Joins rows whose first tokens stand at flat positions `begins` of a batch.
WeightedTargets join_targets(std::span<const RowTargets> rows, std::span<const int64_t> begins, Window window,
                             const std::string& flow, double coefficient = 1.0);
/// The same for rows that stand at first_row, first_row + 1, ... of a batch of rows of `length` tokens.
WeightedTargets join_targets(std::span<const RowTargets> rows, int64_t first_row, int64_t length,
                             Window window, const std::string& flow, double coefficient = 1.0);

}  // namespace mmada
