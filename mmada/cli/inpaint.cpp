// SPDX-License-Identifier: MIT
#include <memory>

#include "mmada/cli/generation_flags.h"
#include "mmada/cli/request.h"
#include "mmada/cli/verb.h"
#include "mmada/core/check.h"

namespace mmada::cli {
namespace {

struct Options {
  ModelFlags model;
  ImageFlags image;
  std::string picture;
  std::string mask;
  PromptFlags prompt;
};

void run_inpaint(const Options& flags) {
  const ImageOptions options = image_options(flags.image);
  require_picture_output(flags.model, flags.image);
  if (flags.image.init_codes.empty() == flags.picture.empty() || flags.picture.empty() != flags.mask.empty())
    throw UsageError("inpaint: expected --image with --mask, or --init-codes");
  const Generator generate = load_generator(flags.model);
  const ImageRequest request{
      .caption = prompt_ids(generate, flags.prompt),
      .codes = flags.picture.empty()
                   ? read_codes(flags.image.init_codes, generate, options)
                   : generate.holes(read_image(flags.picture), read_mask(flags.mask), options),
      .options = options};
  draw(generate, flags.image, drawing_of(request, "inpaint", flags.prompt.prompt));
}

}  // namespace

void add_inpaint(CLI::App& app) {
  auto* verb = app.add_subcommand("inpaint", "Redraw part of a picture");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, true);
  add_picture_flag(*verb, &flags->picture);
  verb->add_option("--mask", flags->mask, "A picture of the same size: white is redrawn, black stays");
  add_prompt_flags(*verb, &flags->prompt, {.title = "What the whole picture shows"});
  add_image_flags(*verb, &flags->image);
  verb->callback([flags] { run_inpaint(*flags); });
}

}  // namespace mmada::cli
