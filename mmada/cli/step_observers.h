// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mmada/cli/generation_flags.h"
#include "mmada/core/progress.h"
#include "mmada/generation/generator.h"

namespace mmada::cli {

/// A bar of the denoising steps on standard error, when that is a terminal.
class StepBar : public Observer {
 public:
  explicit StepBar(std::string label) : label_(std::move(label)) {}
  void on_step(const StepEvent& event) override;

 private:
  std::string label_;
  std::optional<Progress> bar_;  ///< begun at the first step, which knows how many are planned
};

/// Remembers what an image row would look like after each step: committed codes and the step's proposals.
class CodeRecorder : public Observer {
 public:
  /// The grid of the row that is watched; t2i rows end in the image and <eoi>.
  CodeRecorder(const TokenLayout& layout, CodeGrid grid) : layout_(layout), grid_(std::move(grid)) {}
  void on_step(const StepEvent& event) override;
  const std::vector<CodeGrid>& steps() const { return steps_; }

 private:
  TokenLayout layout_;
  CodeGrid grid_;
  std::vector<CodeGrid> steps_;
};

/// Writes what --contact-sheet and --observe ask for.
void write_steps(const Generator& generate, const CodeRecorder& recorder, const ImageFlags& flags);

/// Runs a picture request with the progress bar and, where asked for, the recorder; writes and prints the
/// result.
void draw(const Generator& generate, const ImageRequest& request, const ImageFlags& flags,
          const std::string& prompt, const std::string& label);

}  // namespace mmada::cli
