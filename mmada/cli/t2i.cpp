// SPDX-License-Identifier: MIT
#include <memory>

#include "mmada/cli/generation_flags.h"
#include "mmada/cli/request.h"
#include "mmada/cli/verb.h"

namespace mmada::cli {
namespace {

struct Options {
  ModelFlags model;
  ImageFlags image;
  PromptFlags prompt;
};

void run_t2i(const Options& flags) {
  const ImageOptions options = image_options(flags.image);
  require_picture_output(flags.model, flags.image);
  const Generator generate = load_generator(flags.model);
  const ImageRequest request{.caption = prompt_ids(generate, flags.prompt),
                             .codes = flags.image.init_codes.empty()
                                          ? generate.blank_grid(options)
                                          : read_codes(flags.image.init_codes, generate, options),
                             .options = options};
  draw(generate, flags.image, drawing_of(request, "t2i", flags.prompt.prompt));
}

}  // namespace

void add_t2i(CLI::App& app) {
  auto* verb = app.add_subcommand("t2i", "Draw a picture from words");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, true);
  add_prompt_flags(*verb, &flags->prompt, {.title = "What to draw"});
  add_image_flags(*verb, &flags->image);
  verb->callback([flags] { run_t2i(*flags); });
}

}  // namespace mmada::cli
