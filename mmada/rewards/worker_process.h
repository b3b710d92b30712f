// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/core/check.h"

namespace mmada {

/// What a worker did wrong; the message says what, without the worker's name.
class WorkerError : public Error {
 public:
  using Error::Error;
};

/// A program that talks lines of text over a descriptor of its own, number 3 in the program (its number
/// stands in the variable MMADA_REWARD_FD too). Both its standard output and its standard error are this
/// process's standard error, so that what it prints reaches the log and no answer. It is started by exec,
/// never by a fork of this process's threads, and leads a process group, which is killed as a whole.
class WorkerProcess {
 public:
  using Clock = std::chrono::steady_clock;

  /// `environment` ("NAME=value") comes before this process's own. `most_memory`: bytes of address space, all
  /// that is mapped, which each of the program's processes can have (RLIMIT_AS); 0: as many as this one.
  /// Throws WorkerError where the program cannot be started.
  explicit WorkerProcess(const std::vector<std::string>& command,
                         const std::vector<std::string>& environment = {}, uint64_t most_memory = 0);
  ~WorkerProcess();  ///< kills what still runs
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  /// Sends a line (without its end) and the line's end. Throws WorkerError when the program has ended, or the
  /// deadline passes.
  void send(std::string_view line, Clock::time_point deadline);
  /// The next line. Throws WorkerError when the program ended before it, the line is longer than `most`
  /// bytes, or the deadline passes.
  std::string receive(Clock::time_point deadline, size_t most);

  pid_t pid() const { return pid_; }

 private:
  void wait_for(short events, Clock::time_point deadline);
  [[noreturn]] void report_end();

  pid_t pid_ = 0;
  int socket_ = -1;
  std::string buffer_;  ///< received, not yet handed out
};

}  // namespace mmada
