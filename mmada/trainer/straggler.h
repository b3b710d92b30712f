// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace mmada {

/// A process that keeps all others waiting.
struct Straggler {
  int rank = 0;
  std::string phase;    ///< of a step: the one it loses most time in
  double seconds = 0;   ///< a step of its own, in the middle, without waiting for others
  double expected = 0;  ///< what the middle one of the others takes
};

/// Finds processes that are slow step after step. One slow step is none: a process counts as slow in a step
/// when its own work took half as long again as the middle one of the others', and is reported when it was
/// that in most of the last steps; again only after it was not, in as many.
class StragglerWatch {
 public:
  struct Options {
    size_t window = 8, slow_steps = 6;  ///< so many of the last so many steps
    double factor = 1.5;
    double least_seconds = 0.002;  ///< smaller differences are of no interest
  };
  StragglerWatch(std::vector<std::string> phases, const Options& options);
  explicit StragglerWatch(std::vector<std::string> phases) : StragglerWatch(std::move(phases), Options()) {}

  /// One step: seconds[rank][phase] of each process's own work. Who is found slow by it.
  std::vector<Straggler> observe(const std::vector<std::vector<double>>& seconds);

 private:
  struct Rank {
    std::deque<bool> slow;
    std::deque<std::vector<double>> own, others;  ///< [phase], of the same steps
    bool reported = false;
  };
  std::optional<Straggler> judge(int number, Rank& rank) const;

  std::vector<std::string> phases_;
  Options options_;
  std::vector<Rank> ranks_;
};

}  // namespace mmada
