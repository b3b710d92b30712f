// SPDX-License-Identifier: MIT
// `mmada tokenize` and `mmada detokenize`: one subcommand per medium.
#include "mmada/cli/verb.h"

namespace mmada::cli {

void add_tokenize(CLI::App& app) {
  auto* verb = app.add_subcommand("tokenize", "Turn texts or pictures into token ids");
  verb->require_subcommand(1);
  add_tokenize_image(*verb);
  add_tokenize_text(*verb);
}

void add_detokenize(CLI::App& app) {
  auto* verb = app.add_subcommand("detokenize", "Turn token ids back into texts or pictures");
  verb->require_subcommand(1);
  add_detokenize_image(*verb);
  add_detokenize_text(*verb);
}

}  // namespace mmada::cli
