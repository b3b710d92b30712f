// SPDX-License-Identifier: MIT
#include <memory>

#include "mmada/cli/generation_flags.h"
#include "mmada/cli/request.h"
#include "mmada/cli/verb.h"

namespace mmada::cli {
namespace {

struct Options {
  ModelFlags model;
  TextFlags text;
  PromptFlags prompt;
  std::optional<std::string> question;
};

void run_infill(const Options& flags) {
  answer(flags.model, flags.text, "infill", [&](const Generator& generate, const TextOptions& options) {
    if (flags.prompt.prompt_ids.empty()) return generate.infill(flags.prompt.prompt, options, flags.question);
    return generate.run(InfillRequest{prompt_ids(generate, flags.prompt), options});
  });
}

}  // namespace

void add_infill(CLI::App& app) {
  auto* verb = app.add_subcommand("infill", "Fill the holes of a text");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, false);
  add_prompt_flags(*verb, &flags->prompt,
                   {.title = "What to fill",
                    .prompt = "Text with holes: [MASK:n] stands for n tokens",
                    .ids = "Ids 1,2,3 of the whole row; mask ids are filled"});
  verb->add_option("--question", flags->question, "The text is the assistant's answer to this")
      ->excludes(verb->get_option("--prompt-ids"));
  add_text_flags(*verb, &flags->text, false, false);
  verb->callback([flags] { run_infill(*flags); });
}

}  // namespace mmada::cli
