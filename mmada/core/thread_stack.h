// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <chrono>
#include <string>
#include <vector>

namespace mmada {

/// A thread that others can ask what it is doing: the one that makes this. It is interrupted for that by
/// SIGURG, whose handler belongs to the process from then on; what it waits in goes on waiting.
/// Where it computes it should have a SignalStack.
class WatchedThread {
 public:
  WatchedThread();

  /// The functions that the thread is in, innermost first: "LIBRARY: FUNCTION", or "LIBRARY+0xOFFSET" (for
  /// addr2line) where it has no public name. Without an answer within the limit (from the kernel's depths
  /// there is none) one line says so. To be called while the thread lives, from one thread at a time.
  std::vector<std::string> stack(std::chrono::milliseconds limit) const;

 private:
  pthread_t thread_;
};

}  // namespace mmada
