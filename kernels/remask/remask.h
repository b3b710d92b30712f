// SPDX-License-Identifier: MIT
// Shape suffixes: B rows, T tokens of a row, R slots of the region that is filled, S steps.
#pragma once

#include "kernels/common/context.h"

namespace mmada::kernels {

/// Which proposals become tokens (SPEC 5.1, 5.2).
enum class RemaskRule {
  kCount,      ///< the counts_BS[b, step] most confident
  kThreshold,  ///< all at least `threshold` confident, and the best in any case
  kFactor,     ///< the n best with (n + 1) (1 - n-th confidence) < threshold, at least one (Wu et al. 2025)
  kMaskGit,    ///< all but the counts_BS[b, step] lowest log p + temperature * Gumbel; everything in the last
               ///< step
};

/// One step of every row: candidates are the region's slots that hold mask_id. Everything that changes from
/// step to step lies on the device, so that steps need no host in between and can be captured in a CUDA
/// graph.
///
/// The order among candidates is total: score, then the lower slot; a NaN counts as the lowest score.
struct RemaskParams {
  int32_t* tokens_BT = nullptr;       ///< committed proposals are written here
  int32_t* commit_step_BT = nullptr;  ///< the step in which each token was committed; null: not wanted
  int64_t token_stride = 0;           ///< elements from row to row of both
  const int32_t* begins_B = nullptr;  ///< first token of the row's region
  const int32_t* proposals_BR = nullptr;
  const float* confidence_BR = nullptr;
  const int32_t* counts_BS = nullptr;     ///< kCount, kMaskGit
  const float* temperatures_S = nullptr;  ///< kMaskGit: of the noise; null: none
  const uint32_t* streams_B = nullptr;    ///< kMaskGit with noise: the row's own
  const uint64_t* noise_key = nullptr;    ///< one number: kMaskGit with noise
  float threshold = 0;                    ///< kThreshold, kFactor
  int32_t* steps_B = nullptr;             ///< in [0, steps); grows by one
  const uint8_t* active_B = nullptr;      ///< rows with 0 are left alone; null: all are active
  uint8_t* done_B = nullptr;              ///< written: no candidate is left, or it was the last step
  RemaskRule rule = RemaskRule::kCount;
  int32_t mask_id = 0;
  int64_t batch = 0, slots = 0, steps = 0;
};

/// What every implementation refuses as kInvalid.
inline bool remask_is_valid(const RemaskParams& p) {
  const bool counted = p.rule == RemaskRule::kCount || p.rule == RemaskRule::kMaskGit;
  return p.batch >= 0 && p.slots >= 1 && p.steps >= 1 && p.token_stride >= p.slots &&
         !(counted && p.counts_BS == nullptr) &&
         !(p.rule == RemaskRule::kMaskGit && p.temperatures_S != nullptr &&
           (p.streams_B == nullptr || p.noise_key == nullptr));
}

/// CPU: rows are spread over the context's threads.
[[nodiscard]] Status remask(const RemaskParams& params, const Context& context);
/// CUDA: up to 8192 slots, a block per row. Ranks by counting, slots^2 comparisons per row from shared
/// memory.
[[nodiscard]] Status remask_cuda(const RemaskParams& params, const Context& context);
/// The oracle: sorts in fp64.
void remask_ref(const RemaskParams& params);

}  // namespace mmada::kernels
