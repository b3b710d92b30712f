// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace mmada::kernels {

/// Pieces of a workspace that chunks borrow while they run, whatever thread they run on. The piece given back
/// last is lent first: it is still in a cache.
class Slots {
 public:
  Slots(float* memory, int64_t count, int64_t size) {
    for (int64_t i = count; i-- > 0;) free_.push_back(memory + i * size);
  }

  /// A borrowed piece, given back at the end of the scope.
  class Loan {
   public:
    explicit Loan(Slots& slots) : slots_(slots), memory_(slots.take()) {}
    ~Loan() { slots_.give_back(memory_); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    float* memory() const { return memory_; }

   private:
    Slots& slots_;
    float* memory_;
  };

 private:
  float* take() {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [this] { return !free_.empty(); });
    float* memory = free_.back();
    free_.pop_back();
    return memory;
  }
  void give_back(float* memory) {
    {
      const std::lock_guard lock(mutex_);
      free_.push_back(memory);
    }
    returned_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<float*> free_;
};

}  // namespace mmada::kernels
