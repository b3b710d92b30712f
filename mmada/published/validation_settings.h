// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "mmada/core/json.h"
#include "mmada/published/training_settings.h"

namespace mmada::published {

/// What a published settings file says about the pictures and answers made during training (SPEC 6.5).
struct PublishedValidation {
  int64_t every = 0;         ///< experiment.generate_every, steps; 0: never
  std::string prompts_file;  ///< dataset.params.validation_prompts_file
  std::string questions;     ///< dataset.params.mmu_validation_prompts_file
  std::string images_root;   ///< dataset.params.mmu_image_root, of the questions' pictures
  std::string chat_file;     ///< dataset.params.lm_chat_validation_jsonl, read by stage 3 and later
  int64_t steps = 1;         ///< training.generation_timesteps
  double guidance_scale = 0;
  double temperature = 1;     ///< training.generation_temperature
  std::string mask_schedule;  ///< of the pictures' steps: that of training
};

/// Reads the paths out of dataset.params, and the numbers out of training; other keys stay the caller's.
void read_validation_paths(Fields& params, PublishedValidation* validation);
void read_validation_numbers(Fields& training, PublishedValidation* validation);

/// The section `validation` of a configuration of ours: what is asked stands in the file, how long answers
/// are in each stage's script. `text_budget` is dataset.preprocessing.max_seq_length.
Json validation_section(const PublishedValidation& validation, Stage stage, int64_t text_budget);

}  // namespace mmada::published
