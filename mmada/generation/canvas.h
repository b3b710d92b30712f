// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "mmada/core/types.h"
#include "mmada/generation/commit.h"
#include "mmada/generation/compat.h"
#include "mmada/generation/guidance.h"
#include "mmada/ops/select.h"

namespace mmada {

/// Positions of a row to be filled together, and how. A position that is not MASK when the region is opened
/// is given.
struct Region {
  std::vector<int64_t> positions;  ///< ascending
  std::optional<Span> reach;    ///< when set, every MASK inside it competes (Compat::earlier_masks_compete)
  Window window;                ///< the vocabulary to choose from
  std::vector<int64_t> banned;  ///< vocabulary ids never chosen
  std::vector<int64_t> never_confident;  ///< vocabulary ids committed last
  int64_t steps = 1;
  double temperature = 0.0;  ///< of the token choice; the remask noise belongs to the commit rule
  int64_t top_k = 0;
  double top_p = 1.0;
  Confidence confidence = Confidence::kProbability;
  bool sample_in_weight_dtype = false;  ///< see Compat
  bool select_in_double = false;        ///< see Compat
  std::shared_ptr<const CommitRule> commit;
  std::shared_ptr<const GuidancePolicy> guidance;  ///< null: none
};

/// How the region chooses tokens; the caller adds positions and noise. Refers to the region.
SelectParams select_params(const Region& region);

/// When an answer ends before its regions do. Regions outside the answer are filled all the same.
struct StopRule {
  EarlyStop kind = EarlyStop::kNever;
  int64_t eos = -1;
  Span answer;        ///< where the answer stands in the row
  int64_t group = 0;  ///< kAllRowsBlock: rows with the same number stop together
};

/// kRowEos: where the answer's first eos stands, once nothing before it is MASK.
std::optional<int64_t> end_of_answer(const StopRule& stop, const TokenIds& ids, int64_t mask);

/// A row of tokens with MASKs to fill: everything MMaDA generates is one.
struct Canvas {
  TokenIds ids;
  Span valid;  ///< the rest is padding
  AttentionMode attention = AttentionMode::kHard;
  std::vector<Region> regions;  ///< filled in this order
  StopRule stop;
  uint64_t seed = 0;
  uint32_t stream = 0;      ///< tells rows of one seed apart
  bool mask_grows = false;  ///< see Compat::stepwise_mask_grows
};

/// A canvas that is done. In `fixed` mode no MASK of its regions is left.
struct FinishedRow {
  int64_t row = 0;  ///< as numbered by Denoiser::add
  TokenIds ids;
  int64_t nfe = 0;  ///< forward passes the row took part in; a guided step's two rows share one
};

}  // namespace mmada
