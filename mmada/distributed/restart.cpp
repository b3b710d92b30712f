// SPDX-License-Identifier: MIT
#include "mmada/distributed/restart.h"

#include <algorithm>

#include "mmada/core/check.h"

namespace mmada {

std::optional<std::chrono::seconds> RestartGuard::next(int64_t progress) {
  failures_here_ = place_ == progress ? failures_here_ + 1 : 1;
  place_ = progress;
  if (started_ == options_.restarts) {
    reason_ = cat("started again ", started_, " times, as often as allowed");
    return std::nullopt;
  }
  if (failures_here_ >= options_.same_place) {
    reason_ = cat("failed ", failures_here_, " times in a row without getting beyond step ", progress);
    return std::nullopt;
  }
  ++started_;
  std::chrono::seconds wait = options_.first_wait;
  for (int64_t i = 1; i < failures_here_ && wait < options_.longest_wait; ++i) wait *= 2;
  return std::min(wait, options_.longest_wait);
}

}  // namespace mmada
