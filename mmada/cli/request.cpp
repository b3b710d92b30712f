// SPDX-License-Identifier: MIT
#include "mmada/cli/request.h"

#include <array>
#include <cstdio>
#include <filesystem>

#include "mmada/cli/step_observers.h"
#include "mmada/vision/contact_sheet.h"

namespace mmada::cli {
namespace {

/// Writes what --contact-sheet and --observe ask for.
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

}  // namespace

void answer(const ModelFlags& model, const TextFlags& flags, const std::string& label, const Reply& reply) {
  const TextOptions options = text_options(flags);
  const Generator generate = load_generator(model);
  TextAnswer reply_of_model;
  WorkMeter meter;
  {
    StepBar bar(label);
    reply_of_model = reply(generate.observed({&bar, &meter}), options);
  }
  print_answer(generate, reply_of_model, flags.sampling, options.seed, meter.total());
}

Drawing drawing_of(const ImageRequest& request, const std::string& label, const std::string& prompt) {
  return {.label = label,
          .prompt = prompt,
          .options = request.options,
          .canvases = {request.codes},
          .run = [&request](const Generator& watched) { return watched.run(request); }};
}

void draw(const Generator& generate, const ImageFlags& flags, const Drawing& drawing) {
  CodeRecorder recorder(generate.model().layout, drawing.canvases);
  Picture picture;
  WorkMeter meter;
  {
    StepBar bar(drawing.label);
    std::vector<Observer*> observers{&bar, &meter};
    if (drawing.options.stepwise) observers.push_back(&recorder);
    picture = drawing.run(generate.observed(observers));
  }
  write_steps(generate, recorder, flags);
  finish_picture(picture, flags, drawing.options, drawing.prompt, meter.total());
}

}  // namespace mmada::cli
