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
};

void run_text(const Options& flags) {
  const TextOptions options = text_options(flags.text);
  const Generator generate = load_generator(flags.model);
  TextAnswer answer;
  {
    StepBar bar("text");
    const Generator watched = generate.observed({&bar});
    answer = flags.prompt_ids.empty()
                 ? watched.text(flags.prompt, options)
                 : watched.run(TextRequest{parse_ids(flags.prompt_ids, "--prompt-ids"), options});
  }
  print_answer(generate, answer, flags.text.sampling.json, options.seed);
}

}  // namespace

void add_text(CLI::App& app) {
  auto* verb = app.add_subcommand("text", "Write an answer to a prompt");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, false);
  auto* prompt = verb->add_option_group("prompt", "What to answer");
  prompt->add_option("-p,--prompt", flags->prompt, "The question; the chat template is put around it");
  prompt->add_option("--prompt-ids", flags->prompt_ids, "Ids 1,2,3 of the whole prompt row instead");
  prompt->require_option(1);
  add_text_flags(*verb, &flags->text, true, false);
  verb->callback([flags] { run_text(*flags); });
}

}  // namespace mmada::cli
