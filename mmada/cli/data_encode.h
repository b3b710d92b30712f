// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>

namespace mmada::cli {

/// encode: fills a training configuration's cache of image codes.
void add_data_encode(CLI::App& data);

}  // namespace mmada::cli
