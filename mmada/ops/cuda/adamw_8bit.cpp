// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "mmada/ops/adamw_8bit_params.h"
#include "mmada/ops/cuda/kernel_context.h"

namespace mmada {

namespace {

struct Cuda {
  static kernels::Status run(const kernels::Adamw8bitParams& params, const at::Tensor& on) {
    return kernels::adamw_8bit_cuda(params, CudaKernelContext(on));
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) { m.impl("adamw_8bit_", ops::adamw_8bit_on<Cuda>); }

}  // namespace mmada
