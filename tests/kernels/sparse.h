// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>

#include "emulation.h"

namespace emulation {

constexpr int64_t kBeyond = int64_t{1} << 31;  // elements that an int cannot count

/// Zeros that take no memory until they are written: arrays too large to fill, for claims about addresses.
/// Not for a GPU.
template <class T>
class Sparse {
 public:
  explicit Sparse(int64_t count) : bytes_(static_cast<size_t>(count) * sizeof(T)) {
    data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data_ == MAP_FAILED) throw std::bad_alloc();
  }
  ~Sparse() { munmap(data_, bytes_); }
  Sparse(const Sparse&) = delete;
  Sparse& operator=(const Sparse&) = delete;
  T* data() { return static_cast<T*>(data_); }

 private:
  size_t bytes_;
  void* data_;
};

/// While it lives, launches run the last block of their grid alone: the one with the highest addresses.
class LastBlockOnly {
 public:
  LastBlockOnly() {
    use({mmada::simt::Schedule::kGreedy, true});
    mmada::simt::options().last_blocks = 1;
  }
  ~LastBlockOnly() { mmada::simt::options().last_blocks = 0; }
  LastBlockOnly(const LastBlockOnly&) = delete;
  LastBlockOnly& operator=(const LastBlockOnly&) = delete;
};

}  // namespace emulation
