// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "mmada/model/checkpoint.h"

namespace mmada::cli {

/// --device --dtype --threads: where a verb computes, and with weights of which type.
struct ComputeFlags {
  std::string device = "cpu";
  std::string dtype;
  int threads = 0;
};
void add_compute_flags(CLI::App& verb, ComputeFlags* flags);
/// Sets the number of CPU threads; returns the rest, for what is loaded.
LoadOptions start_computing(const ComputeFlags& flags);

}  // namespace mmada::cli
