// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mmada/core/progress.h"
#include "mmada/generation/generator.h"

namespace mmada::cli {

/// A bar of the denoising steps on standard error, when that is a terminal.
class StepBar : public Observer {
 public:
  explicit StepBar(std::string label) : label_(std::move(label)) {}
  bool wants_tokens() const override { return false; }
  void on_progress(const StepProgress& progress) override;

 private:
  std::string label_;
  std::optional<Progress> bar_;  ///< begun at the first step, which knows how many are planned
};

/// Sums the work of every forward pass.
class WorkMeter : public Observer {
 public:
  bool wants_tokens() const override { return false; }
  void on_forward(const Work& work) override { total_ += work; }
  const Work& total() const { return total_; }

 private:
  Work total_;
};

/// Remembers what an image row would look like after each step of its picture: committed codes and the step's
/// proposals.
class CodeRecorder : public Observer {
 public:
  /// The grids that are filled one after the other, each by a row that ends in the image and <eoi>.
  CodeRecorder(const TokenLayout& layout, std::vector<CodeGrid> grids)
      : layout_(layout), grids_(std::move(grids)) {}
  void on_step(const StepEvent& event) override;
  const std::vector<CodeGrid>& steps() const { return steps_; }

 private:
  TokenLayout layout_;
  std::vector<CodeGrid> grids_;
  size_t begun_ = 0;  ///< grids whose first step was seen
  std::vector<CodeGrid> steps_;
};

}  // namespace mmada::cli
