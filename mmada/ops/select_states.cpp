// SPDX-License-Identifier: MIT
#include "mmada/ops/select_states.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include "mmada/ops/dispatch.h"
#include "mmada/ops/select_params.h"

namespace mmada {

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using StatisticsSignature = Tensor(const Tensor&, const OptionalTensor&, const OptionalTensor&,
                                   const OptionalTensor&, const OptionalTensor&, int64_t, double, double,
                                   bool);
using FinishSignature = std::tuple<Tensor, Tensor, Tensor>(const Tensor&, const OptionalTensor&,
                                                           c10::string_view, const OptionalTensor&);

Tensor statistics_cpu(const Tensor& logits, const OptionalTensor& uncond, const OptionalTensor& banned_bits,
                      const OptionalTensor& noise, const OptionalTensor& token_key, int64_t first_id,
                      double temperature, double guidance, bool difference_form) {
  if (logits.scalar_type() == at::kHalf)  // fp32 holds every fp16
    return statistics_cpu(logits.to(at::kFloat), uncond ? OptionalTensor(uncond->to(at::kFloat)) : uncond,
                          banned_bits, noise, token_key, first_id, temperature, guidance, difference_form);
  ops::SelectStatisticsCall call(logits, uncond, banned_bits, noise, token_key, first_id, temperature,
                                 guidance, difference_form);
  call.allocate(1);
  check_kernel(kernels::select_statistics(call.params, CpuKernelContext()), "select_statistics");
  return call.states;
}

std::tuple<Tensor, Tensor, Tensor> finish_cpu(const Tensor& states, const OptionalTensor& noise,
                                              c10::string_view confidence, const OptionalTensor& random_key) {
  const ops::SelectFinishCall call(states, noise, std::string_view(confidence.data(), confidence.size()),
                                   random_key);
  check_kernel(kernels::select_finish(call.params, CpuKernelContext()), "select_finish");
  return {call.ids, call.confidence, call.logsumexp};
}

/// How many states a row gets is the device's choice.
Tensor statistics_meta(const Tensor& logits, const OptionalTensor&, const OptionalTensor&,
                       const OptionalTensor&, const OptionalTensor&, int64_t, double, double, bool) {
  return at::empty_symint({logits.sym_size(0), c10::SymInt(1), c10::SymInt(8)},
                          logits.options().dtype(at::kInt));
}

std::tuple<Tensor, Tensor, Tensor> finish_meta(const Tensor& states, const OptionalTensor&, c10::string_view,
                                               const OptionalTensor&) {
  const Tensor ids = at::empty_symint({states.sym_size(0)}, states.options());
  const Tensor numbers = at::empty_symint({states.sym_size(0)}, states.options().dtype(at::kFloat));
  return {ids, numbers, at::empty_like(numbers)};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def(
      "select_statistics(Tensor logits, Tensor? uncond, Tensor? banned_bits, Tensor? noise, Tensor? "
      "token_key, "
      "int first_id, float temperature, float guidance, bool difference_form) -> Tensor");
  m.def(
      "select_finish(Tensor states, Tensor? noise, str confidence, Tensor? random_key) -> (Tensor ids, "
      "Tensor "
      "confidence, Tensor logsumexp)");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) {
  m.impl("select_statistics", statistics_cpu);
  m.impl("select_finish", finish_cpu);
}
TORCH_LIBRARY_IMPL(mmada, Meta, m) {
  m.impl("select_statistics", statistics_meta);
  m.impl("select_finish", finish_meta);
}

Tensor select_statistics(const Tensor& logits_NC, const OptionalTensor& uncond_NC,
                         const OptionalTensor& banned_bits, const OptionalTensor& noise_3N,
                         const OptionalTensor& token_key, const SelectChunk& chunk) {
  static const auto op = find_op<StatisticsSignature>("mmada::select_statistics");
  return op.call(logits_NC, uncond_NC, banned_bits, noise_3N, token_key, chunk.first_id, chunk.temperature,
                 chunk.guidance, chunk.difference_form);
}

SelectAnswers select_finish(const Tensor& states_NS8, const OptionalTensor& noise_3N,
                            std::string_view confidence, const OptionalTensor& random_key) {
  static const auto op = find_op<FinishSignature>("mmada::select_finish");
  auto [ids, sure, logsumexp] =
      op.call(states_NS8, noise_3N, c10::string_view(confidence.data(), confidence.size()), random_key);
  return {ids, sure, logsumexp};
}

}  // namespace mmada
