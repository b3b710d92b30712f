// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "mmada/ops/cuda/kernel_context.h"
#include "mmada/ops/remask_params.h"

namespace mmada {

namespace {

/// Regions and steps lie on the device: nobody looks whether they are in range, the step waits for nothing.
struct Cuda {
  static constexpr bool kHasMemory = true;
  static void run(const kernels::RemaskParams& params, const at::Tensor& tokens) {
    check_kernel(kernels::remask_cuda(params, CudaKernelContext(tokens)), "remask_");
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) { m.impl("remask_", ops::remask_on<Cuda>); }

}  // namespace mmada
