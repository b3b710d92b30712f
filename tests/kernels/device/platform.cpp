// SPDX-License-Identifier: MIT
// The other side of platform.h: kernels run on the first GPU, operands are pinned memory of
// the host that the GPU reads and writes in place: slow, and enough for claims. The emulator's own
// functions have nothing to do here.
#include "platform.h"

#include <cuda_runtime_api.h>

#include <new>
#include <stdexcept>

#include "kernels/simt/emulator.h"

namespace emulation {

bool on_device() { return true; }

void* allocate_shared(size_t bytes) {
  void* memory = nullptr;
  if (cudaHostAlloc(&memory, bytes == 0 ? 1 : bytes, cudaHostAllocMapped) != cudaSuccess)
    throw std::bad_alloc();
  return memory;
}
void release_shared(void* memory) noexcept { (void)cudaFreeHost(memory); }

mmada::kernels::Status finished(mmada::kernels::Status launched) {
  const cudaError_t error = cudaDeviceSynchronize();
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
  return launched;
}

}  // namespace emulation

namespace mmada::simt {

Options& options() {
  static Options unused;
  return unused;
}
const Statistics& statistics() {
  static const Statistics nothing_counted;
  return nothing_counted;
}
void reset_statistics() {}
bool thread_sanitizer() { return false; }

}  // namespace mmada::simt
