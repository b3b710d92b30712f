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
};

void run_text(const Options& flags) {
  answer(flags.model, flags.text, "text", [&](const Generator& generate, const TextOptions& options) {
    if (flags.prompt.prompt_ids.empty()) return generate.text(flags.prompt.prompt, options);
    return generate.run(TextRequest{prompt_ids(generate, flags.prompt), options});
  });
}

}  // namespace

void add_text(CLI::App& app) {
  auto* verb = app.add_subcommand("text", "Write an answer to a prompt");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, false);
  add_prompt_flags(*verb, &flags->prompt,
                   {.title = "What to answer",
                    .prompt = "The question; the chat template is put around it",
                    .ids = "Ids 1,2,3 of the whole prompt row instead"});
  add_text_flags(*verb, &flags->text, true, false);
  verb->callback([flags] { run_text(*flags); });
}

}  // namespace mmada::cli
