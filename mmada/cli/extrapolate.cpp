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
  std::string prompt;
  std::string prompt_ids;
  std::string direction;
  int64_t offset = 0;
};

void run_extrapolate(const Options& flags) {
  const ImageOptions options = image_options(flags.image);
  require_picture_output(flags.model, flags.image);
  if (flags.image.init_codes.empty() == flags.picture.empty())
    throw UsageError("extrapolate: expected either --image or --init-codes");
  if (options.stepwise) throw UsageError("extrapolate: found --contact-sheet or --observe, expected neither");
  std::vector<ExtrapolationMove> moves = parse_extrapolation(flags.direction, flags.prompt);
  const TokenIds caption = parse_ids(flags.prompt_ids, "--prompt-ids");
  const Generator generate = load_generator(flags.model);
  for (ExtrapolationMove& move : moves)
    move.caption_ids = flags.prompt_ids.empty() ? generate.encode_text(move.caption) : caption;
  const CodeGrid start = flags.picture.empty()
                             ? read_codes(flags.image.init_codes, generate.blank_grid(options))
                             : generate.encode(read_image(flags.picture), options);
  Picture picture;
  {
    StepBar bar("extrapolate");
    picture = generate.observed({&bar}).extrapolate(start, moves, options, flags.offset);
  }
  finish_picture(picture, flags.image, options, flags.prompt);
}

}  // namespace

void add_extrapolate(CLI::App& app) {
  auto* verb = app.add_subcommand("extrapolate", "Continue a picture beyond its edges");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, true);
  verb->add_option("-i,--image", flags->picture, "The picture: PNG, JPEG or WebP");
  auto* prompt = verb->add_option_group("prompt", "What the new part shows");
  prompt->add_option("-p,--prompt", flags->prompt,
                     "The caption; one per direction separated by \" *** \", or one for all");
  prompt->add_option("--prompt-ids", flags->prompt_ids,
                     "The caption's ids 1,2,3 instead, without bos and eos");
  prompt->require_option(1);
  verb->add_option("--direction", flags->direction, "left, right, up or down; several separated by \" *** \"")
      ->required();
  verb->add_option("--offset", flags->offset,
                   "Tokens by which the context shrinks below half the grid, and the new part grows")
      ->capture_default_str();
  add_image_flags(*verb, &flags->image);
  verb->callback([flags] { run_extrapolate(*flags); });
}

}  // namespace mmada::cli
