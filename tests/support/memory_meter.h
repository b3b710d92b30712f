// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>

namespace mmada::test {

/// Counts the bytes of live CPU tensors through the allocator's own reports. Process memory would also count
/// the libraries that a first call pages in, which differs with the threads and with what ran before.
struct TensorMemoryMeter : c10::MemoryReportingInfoBase {
  int64_t live = 0, peak = 0;
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    live += bytes;
    peak = std::max(peak, live);
  }
  bool memoryProfilingEnabled() const override { return true; }
};

}  // namespace mmada::test
