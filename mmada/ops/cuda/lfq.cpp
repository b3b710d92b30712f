// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "mmada/ops/cuda/kernel_context.h"
#include "mmada/ops/lfq_params.h"

namespace mmada {

namespace {

at::Tensor pack_cuda(const at::Tensor& latent) {
  const ops::LfqPackCall call(latent);
  const CudaKernelContext context(latent);
  check_kernel(kernels::lfq_pack_cuda(call.params, context), "lfq_pack");
  return call.codes;
}

at::Tensor unpack_cuda(const at::Tensor& codes, int64_t bits, at::ScalarType dtype) {
  const ops::LfqUnpackCall call(codes, bits, dtype);
  const CudaKernelContext context(codes);
  check_kernel(kernels::lfq_unpack_cuda(call.params, context), "lfq_unpack");
  return call.latent;
}

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) {
  m.impl("lfq_pack", pack_cuda);
  m.impl("lfq_unpack", unpack_cuda);
}

}  // namespace mmada
