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
  PromptFlags prompt;
  std::string direction;
  int64_t offset = 0;
};

/// The canvases that the moves fill one after the other: their sizes count, not their codes.
std::vector<CodeGrid> canvases_of(CodeGrid picture, const std::vector<ExtrapolationMove>& moves,
                                  const CodeGrid& blank, int64_t offset) {
  std::vector<CodeGrid> canvases;
  for (const ExtrapolationMove& move : moves) {
    const int64_t window = extrapolation_window(blank, move.direction);
    canvases.push_back(extrapolation_canvas(picture, move.direction, window, offset));
    picture = join_extrapolation(picture, canvases.back(), move.direction, window, offset);
  }
  return canvases;
}

void run_extrapolate(const Options& flags) {
  const ImageOptions options = image_options(flags.image);
  require_picture_output(flags.model, flags.image);
  if (flags.image.init_codes.empty() == flags.picture.empty())
    throw UsageError("extrapolate: expected either --image or --init-codes");
  std::vector<ExtrapolationMove> moves = parse_extrapolation(flags.direction, flags.prompt.prompt);
  const Generator generate = load_generator(flags.model);
  for (ExtrapolationMove& move : moves)
    move.caption_ids = prompt_ids(generate, {.prompt = move.caption, .prompt_ids = flags.prompt.prompt_ids});
  const CodeGrid start = flags.picture.empty() ? read_codes(flags.image.init_codes, generate, options)
                                               : generate.encode(read_image(flags.picture), options);
  draw(generate, flags.image,
       {.label = "extrapolate",
        .prompt = flags.prompt.prompt,
        .options = options,
        .canvases = canvases_of(start, moves, generate.blank_grid(options), flags.offset),
        .run = [&](const Generator& watched) {
          return watched.extrapolate(start, moves, options, flags.offset);
        }});
}

}  // namespace

void add_extrapolate(CLI::App& app) {
  auto* verb = app.add_subcommand("extrapolate", "Continue a picture beyond its edges");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, true);
  add_picture_flag(*verb, &flags->picture);
  add_prompt_flags(*verb, &flags->prompt,
                   {.title = "What the new part shows",
                    .prompt = "The caption; one per direction separated by \" *** \", or one for all"});
  verb->add_option("--direction", flags->direction, "left, right, up or down; several separated by \" *** \"")
      ->required();
  verb->add_option("--offset", flags->offset,
                   "Tokens by which the context shrinks below half the grid, and the new part grows")
      ->capture_default_str();
  add_image_flags(*verb, &flags->image);
  verb->callback([flags] { run_extrapolate(*flags); });
}

}  // namespace mmada::cli
