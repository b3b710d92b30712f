// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "mmada/core/json.h"

namespace mmada::cli {

/// Every subcommand is one file that defines one add_* function: it declares its flags on a subcommand of
/// `app` and gives the subcommand a callback which does the work. Errors are exceptions; main() turns them
/// into exit statuses.
void add_bench(CLI::App& app);
void add_chat(CLI::App& app);
void add_completion(CLI::App& app);
void add_convert(CLI::App& app);
void add_data(CLI::App& app);
void add_detokenize(CLI::App& app);
void add_eval(CLI::App& app);
void add_extrapolate(CLI::App& app);
void add_infill(CLI::App& app);
void add_info(CLI::App& app);
void add_inpaint(CLI::App& app);
void add_logits(CLI::App& app);
void add_mmu(CLI::App& app);
void add_t2i(CLI::App& app);
void add_plot(CLI::App& app);
void add_reward(CLI::App& app);
void add_text(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_train(CLI::App& app);

/// What convert makes, each a subcommand of it.
void add_convert_merge(CLI::App& convert);

/// The media of tokenize and detokenize, each a subcommand of those verbs.
void add_detokenize_image(CLI::App& media);
void add_detokenize_text(CLI::App& media);
void add_tokenize_image(CLI::App& media);
void add_tokenize_text(CLI::App& media);

/// What convert makes, each a subcommand of it.
void add_convert_config(CLI::App& convert);
void add_convert_grow(CLI::App& convert);

/// Thrown by a verb that has said everything and ends with a status other than 0, 1 or 2.
struct ExitStatus {
  int code;
};

/// The answer goes to stdout: one JSON object under --json.
void print_json(const Json& json);

}  // namespace mmada::cli
