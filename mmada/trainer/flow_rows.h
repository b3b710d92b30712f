// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "mmada/diffusion/losses.h"
#include "mmada/trainer/flow_config.h"
#include "mmada/trainer/sample_encoder.h"

namespace mmada {

/// What all rows of a run share.
struct RowSettings {
  TokenLayout layout;
  int64_t text_budget = 0;   ///< M
  int64_t image_tokens = 0;  ///< N
  TokenIds assistant;        ///< ids of the word "assistant", for all_turns
  AttentionMode attention_mode = AttentionMode::kHard;
  LossCompat compat;
  bool stratified_times = true;
  /// SPEC 6.2: every process draws the times, masks and dropped conditions of its rows from the same streams,
  /// as the reference does; otherwise every row of a step has streams of its own.
  bool identical_rank_streams = false;
  /// Eos padding of text that stays in the row and is learned; -1: all of it, as published. What is cut is
  /// neither attended to nor predicted.
  int64_t supervised_eos_tail = -1;
  bool packed = false;  ///< rows behind one another, without padding; needs AttentionMode::kHard
  uint64_t seed = 0;
};

/// Tokens of a flow's rows.
int64_t row_length(const RowSettings& settings, const FlowConfig& flow);

/// Lays a sample out as the flow's row (SPEC 4), as much shorter as supervised_eos_tail says.
Row make_row(const RowSettings& settings, const FlowConfig& flow, const EncodedSample& sample,
             bool drop_condition);
/// Where some rows stand among all of a flow's rows of one optimizer step.
struct RowPlace {
  int64_t begin = 0;
  int64_t total = 0;
};
/// Those rows, noised: a pure function of (seed, step, place, samples), so that any process may make them.
std::vector<NoisedRow> noise_rows(const RowSettings& settings, const FlowConfig& flow, int64_t step,
                                  const std::vector<EncodedSample>& samples, const RowPlace& place);

/// One flow's rows with the weight of each target in the step's loss.
struct FlowBatch {
  const FlowConfig* flow = nullptr;
  std::vector<NoisedRow> rows;
  std::vector<RowTargets> targets;
};
/// Batches of a micro-batch's rows of every flow given: rows of one length side by side, those of a valid
/// span together. Left padding that all rows of a group share is cut off where attention cannot see it.
/// Packed: one batch of the valid spans of all rows.
std::vector<RowGroup> make_groups(const RowSettings& settings, const std::vector<FlowBatch>& flows,
                                  int64_t micro_batch, int64_t micro_batches);

}  // namespace mmada
