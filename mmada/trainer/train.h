// SPDX-License-Identifier: MIT
#pragma once

#include "mmada/core/json.h"
#include "mmada/trainer/trainer.h"

namespace mmada {

/// Runs the training that a resolved configuration describes; its field "task" says of what: "transformer",
/// "image_tokenizer" or "text_tokenizer" (whose outcome's checkpoint is the tokenizer.json). `source` names
/// the configuration in errors. Every field is checked before anything is loaded.
TrainOutcome train(const Json& config, const std::string& source, const TrainHooks& hooks);

}  // namespace mmada
