// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <vector>

#include "mmada/cli/generation_flags.h"
#include "mmada/cli/step_observers.h"
#include "mmada/cli/verb.h"

namespace mmada::cli {
namespace {

struct Options {
  ModelFlags model;
  TextFlags text;
};

/// One reply per line of standard input; the conversation so far is part of every prompt.
void run_chat(const Options& flags) {
  TextOptions options = text_options(flags.text);
  const Generator generate = load_generator(flags.model);
  const bool interactive = isatty(STDIN_FILENO) == 1;
  std::vector<ChatMessage> history;
  std::string line;
  while (true) {
    if (interactive) std::fprintf(stderr, "> ");
    if (!std::getline(std::cin, line)) break;
    if (line.empty()) continue;
    history.push_back({"user", line});
    TextAnswer answer;
    WorkMeter meter;
    {
      StepBar bar("chat");
      answer = generate.observed({&bar, &meter}).chat(history, options);
    }
    history.push_back({"assistant", answer.text});
    print_answer(generate, answer, flags.text.sampling, options.seed, meter.total());
    std::fflush(stdout);
    ++options.stream;  // the next turn draws other noise
  }
}

}  // namespace

void add_chat(CLI::App& app) {
  auto* verb = app.add_subcommand("chat", "Talk: one line in, one answer out, until the input ends");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, false);
  add_text_flags(*verb, &flags->text, true, false);
  verb->callback([flags] { run_chat(*flags); });
}

}  // namespace mmada::cli
