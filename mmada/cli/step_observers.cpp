// SPDX-License-Identifier: MIT
#include "mmada/cli/step_observers.h"

#include <unistd.h>

#include <iostream>
#include <utility>

namespace mmada::cli {

void StepBar::on_progress(const StepProgress& progress) {
  if (isatty(STDERR_FILENO) != 1) return;
  if (progress.step == 0)
    bar_.emplace(&std::cerr, Progress::Options{.label = label_, .total = progress.steps, .terminal = true});
  bar_->update(progress.step + 1);
}

void CodeRecorder::on_step(const StepEvent& event) {
  if (event.step == 0) ++begun_;
  TokenIds ids = event.ids;
  for (size_t i = 0; i < event.candidates.size(); ++i) ids[event.candidates[i]] = event.proposals[i];
  CodeGrid grid = grids_.at(begun_ - 1);
  const size_t begin = ids.size() - 1 - grid.codes.size();
  for (size_t i = 0; i < grid.codes.size(); ++i) {
    if (ids[begin + i] == layout_.mask) return;  // a step of the reasoning before the picture
    grid.codes[i] = ids[begin + i] - layout_.image_token_offset;
  }
  steps_.push_back(std::move(grid));
}

}  // namespace mmada::cli
