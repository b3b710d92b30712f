// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "mmada/ops/cuda/kernel_context.h"
#include "mmada/ops/rms_norm_params.h"

namespace mmada {

namespace {

struct Cuda {
  static kernels::Status forward(const kernels::RmsNormParams& params, const at::Tensor& on) {
    return kernels::rms_norm_cuda(params, CudaKernelContext(on));
  }
  static kernels::Status backward(const kernels::RmsNormParams& params,
                                  const kernels::RmsNormGradients& gradients, const at::Tensor& on) {
    const CudaKernelContext context(on, kernels::rms_norm_backward_workspace_size(params));
    return kernels::rms_norm_backward_cuda(params, gradients, context);
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) {
  m.impl("rms_norm_forward", ops::rms_norm_forward_on<Cuda>);
  m.impl("rms_norm_backward", ops::rms_norm_backward_on<Cuda>);
}

}  // namespace mmada
