// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace mmada {

/// Processes of one run on this machine.
struct LaunchOptions {
  std::vector<std::string> command;  ///< a program's path and its arguments
  int processes = 1;
  uint16_t port = 0;  ///< where they meet; 0: a free one
  /// Added to every process's environment beside torchrun's variables.
  std::vector<std::pair<std::string, std::string>> environment = {};
  /// Told of each process that failed, as soon as it did.
  std::function<void(int rank, int status)> failed = nullptr;
};

/// Starts the processes (no fork of this one's threads), each with the variables of process_environment(),
/// and waits for them. SIGINT, SIGTERM and SIGUSR1 are passed on. When one fails the others get SIGTERM, and
/// SIGKILL ten seconds later. Returns 0 when all ended with 0, else the status of the first that failed (128
/// + n for signal n). Throws when the program cannot be started.
int launch(const LaunchOptions& options);

/// A TCP port of this machine that nobody listens on now.
uint16_t free_port();

}  // namespace mmada
