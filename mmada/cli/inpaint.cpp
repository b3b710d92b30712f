// SPDX-License-Identifier: MIT
#include <memory>

#include "mmada/cli/generation_flags.h"
#include "mmada/cli/step_observers.h"
#include "mmada/cli/verb.h"
#include "mmada/core/check.h"

namespace mmada::cli {
namespace {

struct Options {
  ModelFlags model;
  ImageFlags image;
  std::string picture;
  std::string mask;
  std::string prompt;
  std::string prompt_ids;
};

void run_inpaint(const Options& flags) {
  const ImageOptions options = image_options(flags.image);
  require_picture_output(flags.model, flags.image);
  if (flags.image.init_codes.empty() == flags.picture.empty() || flags.picture.empty() != flags.mask.empty())
    throw UsageError("inpaint: expected --image with --mask, or --init-codes");
  const Generator generate = load_generator(flags.model);
  const ImageRequest request{
      .caption = flags.prompt_ids.empty() ? generate.encode_text(flags.prompt)
                                          : parse_ids(flags.prompt_ids, "--prompt-ids"),
      .codes = flags.picture.empty()
                   ? read_codes(flags.image.init_codes, generate.blank_grid(options))
                   : generate.holes(read_image(flags.picture), read_mask(flags.mask), options),
      .options = options};
  draw(generate, request, flags.image, flags.prompt, "inpaint");
}

}  // namespace

void add_inpaint(CLI::App& app) {
  auto* verb = app.add_subcommand("inpaint", "Redraw part of a picture");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, true);
  verb->add_option("-i,--image", flags->picture, "The picture: PNG, JPEG or WebP");
  verb->add_option("--mask", flags->mask, "A picture of the same size: white is redrawn, black stays");
  auto* prompt = verb->add_option_group("prompt", "What the whole picture shows");
  prompt->add_option("-p,--prompt", flags->prompt, "The caption");
  prompt->add_option("--prompt-ids", flags->prompt_ids,
                     "The caption's ids 1,2,3 instead, without bos and eos");
  prompt->require_option(1);
  add_image_flags(*verb, &flags->image);
  verb->callback([flags] { run_inpaint(*flags); });
}

}  // namespace mmada::cli
