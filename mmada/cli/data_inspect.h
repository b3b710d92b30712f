// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>

namespace mmada::cli {

/// The verbs that look into sources of training samples: data check, data stats, data preview.
void add_data_inspect(CLI::App& data);

}  // namespace mmada::cli
