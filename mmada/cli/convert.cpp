// SPDX-License-Identifier: MIT
#include "mmada/cli/verb.h"

namespace mmada::cli {

void add_convert(CLI::App& app) {
  auto* convert = app.add_subcommand("convert", "Make files of ours from published ones");
  convert->require_subcommand(1);
  add_convert_config(*convert);
  add_convert_grow(*convert);
  add_convert_merge(*convert);
}

}  // namespace mmada::cli
