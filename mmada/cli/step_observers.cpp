// SPDX-License-Identifier: MIT
#include "mmada/cli/step_observers.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/vision/contact_sheet.h"

namespace mmada::cli {

void StepBar::on_step(const StepEvent& event) {
  if (isatty(STDERR_FILENO) != 1) return;
  if (event.step == 0)
    bar_.emplace(&std::cerr, Progress::Options{.label = label_, .total = event.steps, .terminal = true});
  bar_->update(event.step + 1);
}

void CodeRecorder::on_step(const StepEvent& event) {
  TokenIds ids = event.ids;
  for (size_t i = 0; i < event.candidates.size(); ++i) ids[event.candidates[i]] = event.proposals[i];
  const size_t begin = ids.size() - 1 - grid_.codes.size();
  CodeGrid grid = grid_;
  for (size_t i = 0; i < grid.codes.size(); ++i) grid.codes[i] = ids[begin + i] - layout_.image_token_offset;
  steps_.push_back(std::move(grid));
}

void write_steps(const Generator& generate, const CodeRecorder& recorder, const ImageFlags& flags) {
  if (flags.contact_sheet.empty() && flags.observe.empty()) return;
  std::vector<Image> pictures;
  for (const CodeGrid& grid : recorder.steps()) pictures.push_back(generate.decode(grid));
  if (!flags.contact_sheet.empty() && !pictures.empty())
    write_image(flags.contact_sheet, contact_sheet(pictures));
  if (flags.observe.empty()) return;
  std::filesystem::create_directories(flags.observe);
  for (size_t i = 0; i < pictures.size(); ++i) {
    std::array<char, 32> name;
    std::snprintf(name.data(), name.size(), "step-%04zu.png", i + 1);
    write_image((std::filesystem::path(flags.observe) / name.data()).string(), pictures[i]);
  }
}

void draw(const Generator& generate, const ImageRequest& request, const ImageFlags& flags,
          const std::string& prompt, const std::string& label) {
  CodeRecorder recorder(generate.model().layout,
                        request.codes.codes.empty() ? generate.blank_grid(request.options) : request.codes);
  Picture picture;
  {
    StepBar bar(label);
    std::vector<Observer*> observers{&bar};
    if (request.options.stepwise) observers.push_back(&recorder);
    picture = generate.observed(observers).run(request);
  }
  write_steps(generate, recorder, flags);
  finish_picture(picture, flags, request.options, prompt);
}

}  // namespace mmada::cli
