// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "kernels/rope/rope.h"
#include "mmada/ops/cuda/kernel_context.h"
#include "mmada/ops/rope_params.h"

namespace mmada {

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

std::tuple<Tensor, Tensor> rope_cuda(const Tensor& q_in, const OptionalTensor& k_in, const Tensor& cos_in,
                                     const Tensor& sin_in, const OptionalTensor& positions_in, bool inverse) {
  ops::check_rope(q_in, k_in, cos_in, sin_in, positions_in);
  const auto type = kernel_float_type(q_in.scalar_type());
  MMADA_CHECK(type, "mmada::rope: q: found ", q_in.scalar_type(), ", expected fp32, bf16 or fp16");
  const Tensor q = q_in.contiguous(), k = k_in ? k_in->contiguous() : at::empty({0}, q.options());
  const Tensor cos = cos_in.contiguous(), sin = sin_in.contiguous();
  const Tensor positions = positions_in ? positions_in->contiguous() : Tensor();
  const Tensor q_out = at::empty_like(q), k_out = at::empty_like(k);
  const int64_t width = q.size(-1), heads = q.size(-2), key_heads = k_in ? k.size(-2) : 0;
  const kernels::RopeParams params{
      .q_THD = q.const_data_ptr(),
      .k_TGD = k.const_data_ptr(),
      .q_out = q_out.mutable_data_ptr(),
      .k_out = k_out.mutable_data_ptr(),
      .type = *type,
      .q_stride = heads * width,
      .k_stride = key_heads * width,
      .q_out_stride = heads * width,
      .k_out_stride = key_heads * width,
      .positions_T = positions.defined() ? positions.const_data_ptr<int32_t>() : nullptr,
      .row_tokens = q.size(-3),
      .cos = cos.const_data_ptr<float>(),
      .sin = sin.const_data_ptr<float>(),
      .tokens = heads > 0 ? q.numel() / (heads * width) : 0,
      .heads = heads,
      .key_heads = key_heads,
      .head_dim = width,
      .inverse = inverse};
  check_kernel(kernels::rope_cuda(params, CudaKernelContext(q)), "rope");
  return {q_out, k_out};
}

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) { m.impl("rope", rope_cuda); }

}  // namespace mmada
