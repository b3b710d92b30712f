// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "mmada/ops/cuda/kernel_context.h"
#include "mmada/ops/rope_params.h"

namespace mmada {

namespace {

struct Cuda {
  static kernels::Status run(const kernels::RopeParams& params, const at::Tensor& on) {
    return kernels::rope_cuda(params, CudaKernelContext(on));
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) { m.impl("rope", ops::rope_on<Cuda>); }

}  // namespace mmada
