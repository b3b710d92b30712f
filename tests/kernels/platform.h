// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/common/context.h"

/// Where the claims of this folder run: on this CPU (the emulator or a CPU kernel), or on a GPU in
/// kernels_device_test (tests/kernels/device). They are the same object files; the functions declared here
/// are what differs, and the linker chooses them: platform.cpp or device/platform.cpp.
namespace emulation {

bool on_device();

/// Memory that both the test and a kernel use: pinned and mapped where there is a GPU.
void* allocate_shared(size_t bytes);
void release_shared(void* memory) noexcept;

/// What a kernel's call returned, once the kernel is over. Throws when it failed on the way.
[[nodiscard]] mmada::kernels::Status finished(mmada::kernels::Status launched);

template <class T>
struct SharedAllocator {
  using value_type = T;
  SharedAllocator() = default;
  template <class U>
  SharedAllocator(const SharedAllocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(allocate_shared(count * sizeof(T))); }
  void deallocate(T* memory, size_t) noexcept { release_shared(memory); }
  template <class U>
  bool operator==(const SharedAllocator<U>&) const {
    return true;
  }
};
/// Every array that a kernel reads or writes.
template <class T>
using Shared = std::vector<T, SharedAllocator<T>>;

template <class T>
std::vector<T> host(const Shared<T>& values) {
  return {values.begin(), values.end()};
}

}  // namespace emulation
