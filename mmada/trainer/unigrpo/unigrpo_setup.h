// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "mmada/trainer/transformer_setup.h"
#include "mmada/trainer/unigrpo/unigrpo_step.h"

namespace mmada {

/// What a configuration of the task "unigrpo" describes, before any memory is taken for its weights. Beside
/// the fields that every training of the transformer has:
///  - "dataset": {"max_seq_length", "prompts": list of prompt streams (parse_prompt_streams)}
///  - "rewards": list of rewards (RewardSet)
///  - "unigrpo":
///     - "num_generations" (8), "num_iterations" (4): G and mu; "rows_together" (64): responses of one
///       denoising run; "eos_tail" (0): eos beyond the first that count as response
///     - "noise" ("structured", "coupled", "trace"), "spacing" ("formula", "example", "random", "fixed"),
///       "timesteps" (1000), "fixed_share" (1.0), "shrink" (1)
///     - "epsilon" (0.2), "epsilon_high" (= epsilon), "importance_sampling_level" ("token", "sequence")
///     - "beta" (0.01), "kl" ("k3"), "kl_against" ("reference", "old"), "offload_reference" (false),
///       "ref_model_sync_steps" (0: never), "ref_model_mixup_alpha" (1.0)
///     - "loss_aggregation" ("sequence", "token"), "length_normalization" ("masked", "response")
///     - "scale_rewards" ("group", "batch", "none"), "advantage_epsilon" (1e-4)
///     - "rollout_weights" ("whole": each process holds all of the model while it answers; "sharded": for
///       models that do not fit), "tokens_per_pass" (8192), "saved_pictures" (4)
///  - "evaluation": {"prompts": list as above, "seed" (1)}; experiment.evaluate_every counts updates
struct UniGrpoSetup {
  TransformerSetup transformer;
  RewardSet rewards;
  UniGrpoOptions options;
};
/// Reads every field; the tokenizers are loaded.
UniGrpoSetup set_up_unigrpo(Fields& fields, const std::string& source, const TrainerOptions& trainer,
                            const LoadOptions& load);
UniGrpoStep make_unigrpo_step(UniGrpoSetup setup, Group group);

/// The shape of an update.
RunShape run_shape(const UniGrpoSetup& setup, int64_t processes);

}  // namespace mmada
