// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "mmada/distributed/environment.h"

namespace mmada {

/// Notices that a process of the run stands still, long before a collective that waits for it times out: each
/// shows signs of life in the run's store from a thread of its own, and watches the others'. A process that
/// ended needs no such watch, its connections break.
class Heartbeat {
 public:
  struct Options {
    std::chrono::milliseconds limit = std::chrono::seconds(5);  ///< of silence
    /// Called once, from another thread, with the rank that is silent (the one that serves the store where
    /// that is out of reach) and for how long it has been.
    std::function<void(int rank, std::chrono::milliseconds silence)> lost;
  };
  /// Waits for the first sign of every process.
  Heartbeat(const ProcessEnvironment& environment, const Options& options);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mmada
