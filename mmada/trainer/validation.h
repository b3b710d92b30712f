// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/data/sample.h"
#include "mmada/generation/generator.h"
#include "mmada/trainer/train_step.h"

namespace mmada {

/// What a run's weights are asked now and then, for eyes rather than numbers (SPEC 6.5). The field
/// `validation` of a configuration:
///
///  - "every": steps from one to the next; 0 (default): never, and none of the files below is read
///  - "seed" (42): of all noise, so that the pictures of two steps, or runs, differ by their weights alone
///  - "prompts": captions to draw, and "prompts_file": more of them, one a line
///  - "panels" (0): samples of the first t2i flow, each shown as original, as the image tokenizer gives it
///    back, and with a part of its codes predicted in one step
///  - "questions": JSON list of {"file_name", "messages": [{"role": "user", "content"}]}, with "images_root",
///    the folder of the pictures
///  - "chat_file": JSON lines with "question"
///  - "pictures", "answers", "chat": how each is generated, as the name of a sampler (--sampler) or its
///  fields
///
/// Of several processes rank 0 generates and the others wait, at most process_timeout_seconds.
struct ValidationOptions {
  struct Question {
    std::string image;  ///< path
    std::string text;
  };
  int64_t every = 0;
  uint64_t seed = 42;
  std::vector<std::string> prompts;
  int64_t panels = 0;
  ImageOptions pictures;  ///< rows, columns and max_text_length are the training's
  std::vector<Question> questions;
  TextOptions answers;
  std::vector<std::string> chats;
  TextOptions chat;

  bool due(int64_t step) const { return every > 0 && step % every == 0; }
  bool needs_pictures() const { return !prompts.empty() || panels > 0 || !questions.empty(); }
};
/// Checks everything that can be checked before the first step, pictures included.
ValidationOptions parse_validation(Fields fields);

/// Draws and answers all of it. DIRECTORY receives PNGs and answers.jsonl, each complete or not at all:
/// picture-I.png and picture-I-guided.png (where the guidance scale is not 0), panel-I.png. Of the panels,
/// each with its own share of codes left out, captions beyond the text budget are cut as in training.
Evaluation validate(const Generator& generate, const ValidationOptions& options,
                    const std::vector<Sample>& panels, const std::string& directory);

}  // namespace mmada
