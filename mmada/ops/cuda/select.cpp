// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "mmada/ops/cuda/kernel_context.h"
#include "mmada/ops/select_params.h"

namespace mmada {

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

Tensor statistics_cuda(const Tensor& logits, const OptionalTensor& uncond, const OptionalTensor& banned_bits,
                       const OptionalTensor& noise, const OptionalTensor& token_key, int64_t first_id,
                       double temperature, double guidance, bool difference_form) {
  ops::SelectStatisticsCall call(logits, uncond, banned_bits, noise, token_key, first_id, temperature,
                                 guidance, difference_form);
  const CudaKernelContext context(logits);
  call.allocate(kernels::select_slots(call.params));
  check_kernel(kernels::select_statistics_cuda(call.params, context), "select_statistics");
  return call.states;
}

std::tuple<Tensor, Tensor, Tensor> finish_cuda(const Tensor& states, const OptionalTensor& noise,
                                               c10::string_view confidence,
                                               const OptionalTensor& random_key) {
  const CudaKernelContext context(states);
  const ops::SelectFinishCall call(states, noise, std::string_view(confidence.data(), confidence.size()),
                                   random_key);
  check_kernel(kernels::select_finish_cuda(call.params, context), "select_finish");
  return {call.ids, call.confidence, call.logsumexp};
}

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) {
  m.impl("select_statistics", statistics_cuda);
  m.impl("select_finish", finish_cuda);
}

}  // namespace mmada
