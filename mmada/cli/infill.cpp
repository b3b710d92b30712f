// SPDX-License-Identifier: MIT
#include <memory>

#include "mmada/cli/generation_flags.h"
#include "mmada/cli/step_observers.h"
#include "mmada/cli/verb.h"

namespace mmada::cli {
namespace {

struct Options {
  ModelFlags model;
  TextFlags text;
  std::string prompt;
  std::string prompt_ids;
  std::optional<std::string> question;
};

void run_infill(const Options& flags) {
  const TextOptions options = text_options(flags.text);
  const Generator generate = load_generator(flags.model);
  TextAnswer answer;
  {
    StepBar bar("infill");
    const Generator watched = generate.observed({&bar});
    answer = flags.prompt_ids.empty()
                 ? watched.infill(flags.prompt, options, flags.question)
                 : watched.run(InfillRequest{parse_ids(flags.prompt_ids, "--prompt-ids"), options});
  }
  print_answer(generate, answer, flags.text.sampling.json, options.seed);
}

}  // namespace

void add_infill(CLI::App& app) {
  auto* verb = app.add_subcommand("infill", "Fill the holes of a text");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, false);
  auto* prompt = verb->add_option_group("prompt", "What to fill");
  prompt->add_option("-p,--prompt", flags->prompt, "Text with holes: [MASK:n] stands for n tokens");
  auto* ids = prompt->add_option("--prompt-ids", flags->prompt_ids,
                                 "Ids 1,2,3 of the whole row; mask ids are filled");
  prompt->require_option(1);
  verb->add_option("--question", flags->question, "The text is the assistant's answer to this")
      ->excludes(ids);
  add_text_flags(*verb, &flags->text, false, false);
  verb->callback([flags] { run_infill(*flags); });
}

}  // namespace mmada::cli
