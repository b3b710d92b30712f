// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace mmada {

/// Threads that each compute one chunk of a step from start to end, every operation inside on one thread.
///
/// Against threads inside each operation this waits once per step instead of at every operation, which
/// matters for small networks, and keeps its speed when other programs share the cores (an operation's
/// threads spin at its end until the slowest was scheduled). Results depend on how many chunks there are,
/// never on how many threads.
class ChunkWorkers {
 public:
  /// One thread per chunk; none for a single chunk, which runs in the caller with its own threads inside
  /// operations.
  explicit ChunkWorkers(int64_t chunks);
  ~ChunkWorkers();
  ChunkWorkers(const ChunkWorkers&) = delete;
  ChunkWorkers& operator=(const ChunkWorkers&) = delete;

  int64_t chunks() const { return chunks_; }
  /// work(0) .. work(chunks - 1) side by side; returns when all ended. The first chunk's exception is thrown
  /// again.
  void run(const std::function<void(int64_t chunk)>& work);

 private:
  void loop(int64_t chunk);

  int64_t chunks_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable started_, ended_;
  const std::function<void(int64_t)>* work_ = nullptr;
  uint64_t round_ = 0;
  int64_t running_ = 0;
  bool closing_ = false;
  std::vector<std::exception_ptr> errors_;
};

}  // namespace mmada
