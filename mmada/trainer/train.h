// SPDX-License-Identifier: MIT
#pragma once

#include "mmada/core/json.h"
#include "mmada/trainer/run_plan.h"
#include "mmada/trainer/trainer.h"

namespace mmada {

/// What a run of the task "transformer" would need in each of so many processes, on whatever machines.
struct TrainingPlan {
  RunShape run;
  MemoryPlan memory = {};
  WorkPlan work = {};
  SpeedPrediction prediction = {};  ///< on the device of DeviceModel, nobody's measurement
};
/// Checks the whole configuration, tokenizers and data sources included, and trains nothing.
TrainingPlan plan_training(const Json& config, const std::string& source, int64_t processes);

/// Runs the training that a resolved configuration describes; its field "task" says of what: "transformer",
/// "image_tokenizer" or "text_tokenizer" (whose outcome's checkpoint is the tokenizer.json). `source` names
/// the configuration in errors. Every field is checked before anything is loaded.
TrainOutcome train(const Json& config, const std::string& source, const TrainHooks& hooks);

}  // namespace mmada
