// SPDX-License-Identifier: MIT
#include "mmada/trainer/chunk_workers.h"

#include <ATen/Parallel.h>

namespace mmada {

ChunkWorkers::ChunkWorkers(int64_t chunks) : chunks_(chunks), errors_(chunks) {
  if (chunks_ <= 1) return;
  at::get_num_threads();  // fixes the caller's own number before the workers set theirs
  for (int64_t chunk = 0; chunk < chunks_; ++chunk) threads_.emplace_back([this, chunk] { loop(chunk); });
}

ChunkWorkers::~ChunkWorkers() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  started_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ChunkWorkers::run(const std::function<void(int64_t)>& work) {
  if (threads_.empty()) {
    for (int64_t chunk = 0; chunk < chunks_; ++chunk) work(chunk);
    return;
  }
  std::unique_lock lock(mutex_);
  work_ = &work;
  running_ = chunks_;
  ++round_;
  started_.notify_all();
  ended_.wait(lock, [this] { return running_ == 0; });
  work_ = nullptr;
  for (std::exception_ptr& error : errors_)
    if (error != nullptr) {
      const std::exception_ptr first = error;
      errors_.assign(errors_.size(), nullptr);
      std::rethrow_exception(first);
    }
}

void ChunkWorkers::loop(int64_t chunk) {
  at::set_num_threads(1);  // of this thread
  uint64_t done = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    started_.wait(lock, [&] { return closing_ || round_ != done; });
    if (closing_) return;
    done = round_;
    const auto* work = work_;
    lock.unlock();
    try {
      (*work)(chunk);
    } catch (...) {
      errors_[chunk] = std::current_exception();
    }
    lock.lock();
    if (--running_ == 0) ended_.notify_all();
  }
}

}  // namespace mmada
