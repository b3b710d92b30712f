// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/diffusion/corrupt.h"
#include "mmada/diffusion/targets.h"

namespace mmada {

/// One stream of rows of a training run: which task, how many rows per micro-batch, how they are noised and
/// weighed.
struct FlowConfig {
  std::string name;  ///< unique; names the loss and the flow's random streams. Default: the task
  FlowKind kind = FlowKind::kT2i;
  int64_t rows = 0;                ///< per micro-batch
  double coefficient = 1.0;        ///< of the loss in the total
  int64_t length = 0;              ///< of lm and lm_chat rows; 0: that of the multimodal rows
  double cond_dropout_prob = 0.0;  ///< t2i: share of rows whose caption is dropped (default 0.1)
  /// lm_chat, mmu: share of rows whose reasoning, through </think>, is given like the prompt: the state in
  /// which decoding meets the answer, rare under noise that masks answer and reasoning alike (default 0).
  double given_reasoning_prob = 0.0;
  /// lm_chat, mmu: within a reply's reasoning (all of a reply that has none) only these words are ever
  /// masked; none: all are. For what must be learned from words that stand there.
  std::vector<std::string> masked_words;
  /// lm_chat, mmu: words that are masked like any other but have no loss: nothing is learned about what
  /// stands there.
  std::vector<std::string> unlearned_words;
  ImageNoise image_noise;
  TextNoise text_noise;
  bool all_turns = false;  ///< lm_chat: every assistant turn is supervised, not the last alone
  Json source;             ///< options of make_source
  std::string
      source_key;  ///< tells the sources of one run apart: flow name and the phase that set the source
};

/// The flows of a run over time. A phase overrides fields of named flows until its step:
///   "flows":  [{"flow": "t2i", "rows": 6, "source": {...}}, ...]
///   "phases": [{"until_step": 1000, "flows": {"t2i": {"rows": 12, "source": {...}}}}, ...]
/// Behind the last phase the flows hold as written. A phase's source replaces the flow's as a whole and has
/// its own position.
class FlowPlan {
 public:
  FlowPlan() = default;
  /// Reads and checks every phase at once, so that no mistake waits for its step.
  FlowPlan(Fields& dataset, const std::string& source);

  const std::vector<FlowConfig>& at(int64_t step) const;
  /// Every phase's flows, the final ones last.
  const std::vector<std::vector<FlowConfig>>& all() const { return phases_; }

 private:
  std::vector<int64_t> until_;  ///< ascending, one less than phases_
  std::vector<std::vector<FlowConfig>> phases_;
};

}  // namespace mmada
