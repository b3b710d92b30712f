// SPDX-License-Identifier: MIT
#include <memory>

#include "mmada/cli/generation_flags.h"
#include "mmada/cli/step_observers.h"
#include "mmada/cli/verb.h"

namespace mmada::cli {
namespace {

struct Options {
  ModelFlags model;
  ImageFlags image;
  std::string prompt;
  std::string prompt_ids;
};

void run_t2i(const Options& flags) {
  const ImageOptions options = image_options(flags.image);
  require_picture_output(flags.model, flags.image);
  const Generator generate = load_generator(flags.model);
  ImageRequest request{.caption = flags.prompt_ids.empty() ? generate.encode_text(flags.prompt)
                                                           : parse_ids(flags.prompt_ids, "--prompt-ids"),
                       .codes = generate.blank_grid(options),
                       .options = options};
  if (!flags.image.init_codes.empty())
    request.codes = read_codes(flags.image.init_codes, std::move(request.codes));
  draw(generate, request, flags.image, flags.prompt, "t2i");
}

}  // namespace

void add_t2i(CLI::App& app) {
  auto* verb = app.add_subcommand("t2i", "Draw a picture from words");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, true);
  auto* prompt = verb->add_option_group("prompt", "What to draw");
  prompt->add_option("-p,--prompt", flags->prompt, "The caption");
  prompt->add_option("--prompt-ids", flags->prompt_ids,
                     "The caption's ids 1,2,3 instead, without bos and eos");
  prompt->require_option(1);
  add_image_flags(*verb, &flags->image);
  verb->callback([flags] { run_t2i(*flags); });
}

}  // namespace mmada::cli
