// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "mmada/core/json.h"

namespace mmada {

/// Counts by reason what a source left out (SampleSource::skipped). Threads may count at the same time.
class LeftOut {
 public:
  LeftOut() = default;
  LeftOut(LeftOut&& other) noexcept : counts_(std::move(other.counts_)) {}
  void count(const std::string& reason, int64_t samples = 1) {
    const std::lock_guard lock(mutex_);
    counts_[reason] += samples;
  }
  Json json() const {
    const std::lock_guard lock(mutex_);
    Json json = Json::object();
    for (const auto& [reason, count] : counts_) json[reason] = count;
    return json;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int64_t> counts_;
};

}  // namespace mmada
