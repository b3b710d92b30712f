// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "mmada/ops/cuda/kernel_context.h"
#include "mmada/ops/swiglu_params.h"

namespace mmada {

namespace {

struct Cuda {
  static kernels::Status forward(const kernels::SwigluParams& params, const at::Tensor& on) {
    return kernels::swiglu_cuda(params, CudaKernelContext(on));
  }
  static kernels::Status backward(const kernels::SwigluParams& params,
                                  const kernels::SwigluGradients& gradients, const at::Tensor& on) {
    return kernels::swiglu_backward_cuda(params, gradients, CudaKernelContext(on));
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) {
  m.impl("swiglu", ops::swiglu_on<Cuda>);
  m.impl("swiglu_backward", ops::swiglu_backward_on<Cuda>);
}

}  // namespace mmada
