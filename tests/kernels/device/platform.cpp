// SPDX-License-Identifier: MIT
// The other side of platform.h: kernels run on the first GPU, operands are managed memory. The emulator's own
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
  if (cudaMallocManaged(&memory, bytes == 0 ? 1 : bytes) != cudaSuccess) throw std::bad_alloc();
  return memory;
}
void release_shared(void* memory) noexcept { (void)cudaFree(memory); }

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
