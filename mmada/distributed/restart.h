// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace mmada {

/// Decides whether a run that failed is started again, and when: not more often than allowed, later each time
/// while it gets nowhere, and not at all where it keeps failing in the same place.
class RestartGuard {
 public:
  struct Options {
    int64_t restarts = 0;    ///< at most so many
    int64_t same_place = 3;  ///< failures in a row without progress that end it
    std::chrono::seconds first_wait{1}, longest_wait{60};
  };
  explicit RestartGuard(const Options& options) : options_(options) {}

  /// After a failure of a run that had reached `progress` (the newest checkpoint's step): how long to wait
  /// before the next start; nothing where there is to be none.
  std::optional<std::chrono::seconds> next(int64_t progress);
  /// Why next() gave nothing.
  const std::string& reason() const { return reason_; }

 private:
  Options options_;
  int64_t started_ = 0, failures_here_ = 0;
  std::optional<int64_t> place_;
  std::string reason_;
};

}  // namespace mmada
