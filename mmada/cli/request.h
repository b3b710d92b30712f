// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mmada/cli/generation_flags.h"
#include "mmada/generation/generator.h"

namespace mmada::cli {

/// What a text verb asks of the loaded model, which shows its steps in a progress bar.
using Reply = std::function<TextAnswer(const Generator& watched, const TextOptions& options)>;
/// Checks the flags, loads the model, runs the request under a progress bar of this label, prints the answer.
void answer(const ModelFlags& model, const TextFlags& flags, const std::string& label, const Reply& reply);

/// What a picture verb asks of the loaded model.
struct Drawing {
  std::string label;   ///< of the progress bar
  std::string prompt;  ///< is written into the picture's parameters
  ImageOptions options = {};
  std::vector<CodeGrid> canvases = {};  ///< what `run` fills, one after the other
  std::function<Picture(const Generator& watched)> run = {};
};
/// One request, which outlives the drawing.
Drawing drawing_of(const ImageRequest& request, const std::string& label, const std::string& prompt);
/// Runs it under the progress bar; writes --output, --contact-sheet and --observe; prints the result.
void draw(const Generator& generate, const ImageFlags& flags, const Drawing& drawing);

}  // namespace mmada::cli
