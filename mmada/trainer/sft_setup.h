// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "mmada/trainer/sft_step.h"
#include "mmada/trainer/transformer_setup.h"

namespace mmada {

/// What a configuration of the task "transformer" describes, before any memory is taken for its weights.
struct SftSetup {
  TransformerSetup transformer;
  SftStep::Options options;
};
/// Reads every field; the tokenizers are loaded.
SftSetup set_up_sft(Fields& fields, const std::string& source, const TrainerOptions& trainer,
                    const LoadOptions& load);
SftStep make_sft_step(SftSetup setup, Group group);

/// The shape of the phase that needs most memory.
RunShape run_shape(const SftSetup& setup, int64_t processes);

}  // namespace mmada
