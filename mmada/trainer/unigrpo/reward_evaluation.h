// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "mmada/rewards/reward.h"
#include "mmada/trainer/train_step.h"
#include "mmada/trainer/unigrpo/rollout.h"

namespace mmada {

/// Prompts that a run is not trained on, answered by the weights as they are.
struct RewardEvaluationOptions {
  std::vector<PromptStream> streams;  ///< empty: nothing is measured
  uint64_t seed = 1;                  ///< of the prompts and the noise, the same ones every time
  int64_t rows_together = 64;
};

/// eval/STREAM/reward, and eval/STREAM/rewards/NAME for each part: means over those that were scored; and
/// eval/reward_failures. Throws RewardFailure where a reward's policy is to stop.
Evaluation evaluate_rewards(const Generator& generator, SampleEncoder& encoder, RewardSet& rewards,
                            const RewardEvaluationOptions& options);

}  // namespace mmada
