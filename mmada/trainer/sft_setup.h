// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mmada/trainer/build_model.h"
#include "mmada/trainer/run_plan.h"
#include "mmada/trainer/sft_step.h"
#include "mmada/trainer/trainer.h"

namespace mmada {

/// What a configuration of the task "transformer" describes, before any memory is taken for its weights.
struct SftSetup {
  SftStep::Options options;
  BuiltModel built;
  SampleEncoder encoder;
  ShardPolicy policy;
  Recompute recompute = Recompute::kNothing;
  std::optional<LoraOptions> lora;
  bool averaged_weights = false, moments_8bit = false;  ///< of AdamWOptions
};
/// Reads every field; the tokenizers are loaded.
SftSetup set_up_sft(Fields& fields, const std::string& source, const TrainerOptions& trainer,
                    const LoadOptions& load);
SftStep make_sft_step(SftSetup setup, Group group);

/// The shape of the phase that needs most memory.
RunShape run_shape(const SftSetup& setup, int64_t processes);
/// Throws where the processes of this machine need more memory than it has left.
void check_room(const SftSetup& setup, const ProcessEnvironment& environment, const std::string& source);

}  // namespace mmada
