// SPDX-License-Identifier: MIT
#pragma once

#include <iosfwd>

#include "mmada/core/json.h"
#include "mmada/trainer/run_plan.h"
#include "mmada/trainer/trainer.h"

namespace mmada {

/// What a run of the task "transformer" or "unigrpo" would need in each of so many processes, on whatever
/// machines.
struct TrainingPlan {
  RunShape run = {};
  MemoryPlan memory = {};
  WorkPlan work = {};
  SpeedPrediction prediction = {};  ///< on the device of DeviceModel, nobody's measurement
  /// What planning itself has held of memory: libraries, tokenizers and open data, which a run on a CPU has
  /// beside `memory`. 0 for other devices.
  int64_t program_bytes = 0;
};
/// Checks the whole configuration, tokenizers and data sources included, and trains nothing.
TrainingPlan plan_training(const Json& config, const std::string& source, int64_t processes);

/// Fills image_tokenizer.cached_codes with the pictures that a run of this configuration will take first from
/// each of its flows: `count` of them, or with 0 as many as the run takes. Of several processes, or machines,
/// each takes every `parts`-th, from its `part` (0 to parts - 1) on. Returns the pictures passed, most of
/// which a second call finds there.
int64_t encode_pictures(const Json& config, const std::string& source, int64_t count, int64_t part,
                        int64_t parts, std::ostream* log);

/// Runs the training that a resolved configuration describes; its field "task" says of what: "transformer",
/// "image_tokenizer" or "text_tokenizer" (whose outcome's checkpoint is the tokenizer.json). `source` names
/// the configuration in errors. Every field is checked before anything is loaded.
TrainOutcome train(const Json& config, const std::string& source, const TrainHooks& hooks);

}  // namespace mmada
