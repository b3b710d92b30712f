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
  ReasoningFlags reasoning;
};

ReasonedImageRequest reasoned(const Generator& generate, const Options& flags, ImageRequest request) {
  TokenIds prompt = flags.prompt.prompt_ids.empty()
                        ? generate.reasoning_prompt(flags.prompt.prompt, request.options.compat)
                        : std::move(request.caption);
  TextOptions reasoning =
      reasoning_options(flags.reasoning, generate.reasoning_options(prompt, request.options));
  reasoning.greedy = request.options.greedy;
  return {std::move(prompt), std::move(request.codes), reasoning, request.options};
}

void run_t2i(const Options& flags) {
  const ImageOptions options = image_options(flags.image);
  require_picture_output(flags.model, flags.image);
  const Generator generate = load_generator(flags.model);
  const ImageRequest request{.caption = prompt_ids(generate, flags.prompt),
                             .codes = flags.image.init_codes.empty()
                                          ? generate.blank_grid(options)
                                          : read_codes(flags.image.init_codes, generate, options),
                             .options = options};
  Drawing drawing = drawing_of(request, "t2i", flags.prompt.prompt);
  if (flags.reasoning.think)
    drawing.run = [think = reasoned(generate, flags, request)](const Generator& watched) {
      return watched.run(think);
    };
  draw(generate, flags.image, drawing);
}

}  // namespace

void add_t2i(CLI::App& app) {
  auto* verb = app.add_subcommand("t2i", "Draw a picture from words");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, true);
  add_prompt_flags(*verb, &flags->prompt,
                   {.title = "What to draw",
                    .ids = "The caption's ids 1,2,3 instead, without bos and eos; under --think those of the "
                           "whole prompt through the assistant's header"});
  add_image_flags(*verb, &flags->image);
  add_reasoning_flags(*verb, &flags->reasoning);
  verb->callback([flags] { run_t2i(*flags); });
}

}  // namespace mmada::cli
