// SPDX-License-Identifier: MIT
#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <cstdio>
#include <memory>

#include "mmada/cli/verb.h"
#include "mmada/core/version.h"

namespace mmada::cli {

void add_info(CLI::App& app) {
  auto* verb = app.add_subcommand("info", "Show versions, devices and threads");
  auto as_json =
      std::make_shared<bool>(false);  // CLI11 writes it, the callback reads it: it outlives this function
  verb->add_flag("--json", *as_json, "Print one JSON object");
  verb->callback([as_json] {
    const Json info = {
        {"version", MMADA_VERSION}, {"threads", at::get_num_threads()}, {"cuda", at::hasCUDA()}};
    if (*as_json) return print_json(info);
    for (const auto& [key, value] : info.items())
      std::printf("%-10s %s\n", key.c_str(), value.dump().c_str());
  });
}

}  // namespace mmada::cli
