// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

namespace mmada {

/// What a run's time went into. Steps that a failure undid do not count, nor do starts, saves and waits.
struct Goodput {
  double productive_seconds = 0;  ///< of steps that the newest checkpoint holds
  double wall_seconds = 0;        ///< that passed

  double share() const { return wall_seconds > 0 ? productive_seconds / wall_seconds : 0.0; }
};

/// Measures a run from here on, over however many starts it needs. Checkpoints are not verified for it: a
/// damaged one makes now() throw, with its name.
class GoodputClock {
 public:
  /// `beginning`: what the run goes on from, "latest", "none" or a checkpoint's path.
  GoodputClock(const std::string& run_directory, const std::string& beginning);

  /// With the steps of the newest checkpoint in the run's folder.
  Goodput now() const;
  /// Where the run has made no checkpoint.
  Goodput nothing() const;

 private:
  std::string run_directory_;
  double before_ = 0;
  std::string damage_;  // of the checkpoint to go on from
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace mmada
