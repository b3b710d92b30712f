// SPDX-License-Identifier: MIT
#include "mmada/ops/group_norm_silu.h"

#include <torch/library.h>

#include "mmada/ops/cuda/kernel_context.h"
#include "mmada/ops/group_norm_silu_params.h"

namespace mmada {

namespace {

using at::Tensor;

Tensor& out_cuda(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups, double eps,
                 Tensor& out) {
  const ops::GroupNormSiluCall call(x, weight, bias, groups, eps, out);
  const CudaKernelContext context(x, kernels::group_norm_silu_workspace_size(call.params));
  check_kernel(kernels::group_norm_silu_cuda(call.params, context), "group_norm_silu");
  return out;
}

Tensor functional_cuda(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups,
                       double eps) {
  if (!group_norm_silu_is_fused(x)) return at::silu(at::group_norm(x, groups, weight, bias, eps));
  const Tensor dense = x.contiguous(at::MemoryFormat::ChannelsLast);
  Tensor out = at::empty_like(dense);
  return out_cuda(dense, weight, bias, groups, eps, out);
}

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) {
  m.impl("group_norm_silu", functional_cuda);
  m.impl("group_norm_silu.out", out_cuda);
}

}  // namespace mmada
