// SPDX-License-Identifier: MIT
#include "platform.h"

#include <new>

namespace emulation {

bool on_device() { return false; }

void* allocate_shared(size_t bytes) { return ::operator new(bytes); }
void release_shared(void* memory) noexcept { ::operator delete(memory); }

mmada::kernels::Status finished(mmada::kernels::Status launched) { return launched; }

}  // namespace emulation
