// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "mmada/ops/kernel_context.h"

namespace mmada {

/// What a CUDA kernel may use: makes the tensor's device current and holds its stream and a workspace.
class CudaKernelContext {
 public:
  explicit CudaKernelContext(const at::Tensor& on, size_t workspace_bytes = 0) : device_(on.device()) {
    if (workspace_bytes > 0) {
      workspace_ = at::empty({static_cast<int64_t>(workspace_bytes)}, on.options().dtype(at::kByte));
      context_.workspace = workspace_.mutable_data_ptr();
      context_.workspace_bytes = workspace_bytes;
    }
    const cudaDeviceProp* gpu = at::cuda::getDeviceProperties(on.device().index());
    context_.compute_capability = 10 * gpu->major + gpu->minor;
    check_compute_capability(context_.compute_capability);
    context_.stream = c10::cuda::getCurrentCUDAStream().stream();
  }
  operator const kernels::Context&() const { return context_; }

 private:
  c10::cuda::CUDAGuard device_;
  at::Tensor workspace_;
  kernels::Context context_;
};

}  // namespace mmada
