// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include <limits>

#include "kernels/select/select.h"
#include "mmada/core/check.h"
#include "mmada/ops/kernel_context.h"
#include "mmada/ops/random_key.h"

namespace mmada::ops {

static_assert(sizeof(kernels::SelectState) == 8 * sizeof(int32_t));

inline const uint32_t* noise_row(const at::Tensor& noise_3N, int64_t row) {
  return reinterpret_cast<const uint32_t*>(noise_3N.const_data_ptr<int32_t>()) + row * noise_3N.size(1);
}

/// The noise's rows, checked; undefined where none are given.
inline at::Tensor checked_noise(const char* op, const std::optional<at::Tensor>& noise_3N, int64_t rows,
                                at::Device device) {
  if (!noise_3N) return {};
  MMADA_CHECK(noise_3N->dim() == 2 && noise_3N->size(0) == 3 && noise_3N->size(1) == rows &&
                  noise_3N->scalar_type() == at::kInt && noise_3N->device() == device,
              op, ": noise: found ", noise_3N->scalar_type(), " of shape ", noise_3N->sizes(), " on ",
              noise_3N->device(), ", expected int32 [3, ", rows, "] on ", device);
  return noise_3N->contiguous();
}

/// The kernel's operands out of checked tensors, and the result's memory: what the CPU and the CUDA
/// implementation share. `slots`: states per row.
struct SelectStatisticsCall {
  using OptionalTensor = std::optional<at::Tensor>;
  SelectStatisticsCall(const at::Tensor& logits_NC, const OptionalTensor& uncond_NC,
                       const OptionalTensor& banned_bits, const OptionalTensor& noise_3N,
                       const OptionalTensor& token_key, int64_t first_id, double temperature, double guidance,
                       bool difference_form) {
    const char* op = "mmada::select_statistics";
    MMADA_CHECK(logits_NC.dim() == 2 && logits_NC.size(1) >= 1, op, ": logits: found shape ",
                logits_NC.sizes(), ", expected [N, C] with C at least 1");
    const auto type = kernel_float_type(logits_NC.scalar_type());
    MMADA_CHECK(type, op, ": logits: found ", logits_NC.scalar_type(), ", expected fp32, bf16 or fp16");
    const int64_t rows = logits_NC.size(0), columns = logits_NC.size(1);
    MMADA_CHECK(first_id >= 0 && first_id + columns <= std::numeric_limits<int32_t>::max() - 4, op,
                ": first_id: found ", first_id, ", expected a range of ids [first_id, first_id + ", columns,
                ") within 31 bits");
    MMADA_CHECK(temperature >= 0, op, ": temperature: found ", temperature, ", expected at least 0");
    logits = logits_NC.stride(1) == 1 ? logits_NC : logits_NC.contiguous();
    if (uncond_NC) {
      MMADA_CHECK(uncond_NC->sizes() == logits_NC.sizes() &&
                      uncond_NC->scalar_type() == logits_NC.scalar_type() &&
                      uncond_NC->device() == logits_NC.device(),
                  op, ": uncond: found ", uncond_NC->scalar_type(), " of shape ", uncond_NC->sizes(), " on ",
                  uncond_NC->device(), ", expected what logits are: ", logits_NC.scalar_type(), " ",
                  logits_NC.sizes(), " on ", logits_NC.device());
      uncond = *uncond_NC;
      if (uncond.strides() != logits.strides()) logits = logits.contiguous(), uncond = uncond.contiguous();
    }
    if (banned_bits) {
      MMADA_CHECK(banned_bits->dim() == 1 && banned_bits->scalar_type() == at::kInt &&
                      banned_bits->device() == logits.device() &&
                      banned_bits->numel() * 32 >= first_id + columns,
                  op, ": banned_bits: found ", banned_bits->scalar_type(), " of shape ", banned_bits->sizes(),
                  " on ", banned_bits->device(), ", expected int32 words for ids up to ",
                  first_id + columns - 1, " on ", logits.device());
      banned = banned_bits->contiguous();
    }
    noise = checked_noise(op, noise_3N, rows, logits.device());
    const uint64_t* key = checked_key(op, "token_key", token_key, logits.device());
    MMADA_CHECK(temperature == 0 || (noise.defined() && key != nullptr), op,
                noise.defined() ? ": token_key" : ": noise",
                ": found none, expected it where temperature is above 0");
    params = {.logits = logits.const_data_ptr(),
              .uncond = uncond.defined() ? uncond.const_data_ptr() : nullptr,
              .guidance = static_cast<float>(guidance),
              .difference_form = difference_form,
              .type = *type,
              .rows = rows,
              .columns = columns,
              .row_stride = logits.stride(0),
              .first_id = static_cast<int32_t>(first_id),
              .banned_bits = banned.defined()
                                 ? reinterpret_cast<const uint32_t*>(banned.const_data_ptr<int32_t>())
                                 : nullptr,
              .temperature = static_cast<float>(temperature),
              .token_key = key};
    if (!noise.defined()) return;
    params.positions_N = noise_row(noise, 0), params.steps_N = noise_row(noise, 1),
    params.streams_N = noise_row(noise, 2);
  }

  /// Gives every row `slots` states to be written.
  void allocate(int64_t slots) {
    states = at::empty({params.rows, slots, 8}, logits.options().dtype(at::kInt));
    params.states = reinterpret_cast<kernels::SelectState*>(states.mutable_data_ptr<int32_t>());
    params.slots = slots;
  }

  at::Tensor logits, uncond, banned, noise, states;
  kernels::SelectStatisticsParams params;
};

inline kernels::SelectConfidence select_confidence_from_name(std::string_view name) {
  using kernels::SelectConfidence;
  if (name == "probability") return SelectConfidence::kProbability;
  if (name == "margin") return SelectConfidence::kMargin;
  if (name == "neg_entropy") return SelectConfidence::kNegEntropy;
  if (name == "random") return SelectConfidence::kRandom;
  throw Error(cat("mmada::select_finish: confidence: found \"", name,
                  "\", expected probability, margin, neg_entropy or random"));
}

struct SelectFinishCall {
  SelectFinishCall(const at::Tensor& states_NS8, const std::optional<at::Tensor>& noise_3N,
                   std::string_view confidence, const std::optional<at::Tensor>& random_key)
      : states(states_NS8.contiguous()) {
    const char* op = "mmada::select_finish";
    MMADA_CHECK(
        states.dim() == 3 && states.size(1) >= 1 && states.size(2) == 8 && states.scalar_type() == at::kInt,
        op, ": states: found ", states.scalar_type(), " of shape ", states.sizes(),
        ", expected int32 [N, at least 1, 8]");
    const int64_t rows = states.size(0);
    noise = checked_noise(op, noise_3N, rows, states.device());
    const auto measure = select_confidence_from_name(confidence);
    const uint64_t* key = checked_key(op, "random_key", random_key, states.device());
    MMADA_CHECK(measure != kernels::SelectConfidence::kRandom || (noise.defined() && key != nullptr), op,
                noise.defined() ? ": random_key" : ": noise",
                ": found none, expected it for random confidence");
    ids = at::empty({rows}, states.options());
    this->confidence = at::empty({rows}, states.options().dtype(at::kFloat));
    logsumexp = at::empty_like(this->confidence);
    params = {.states = reinterpret_cast<const kernels::SelectState*>(states.const_data_ptr<int32_t>()),
              .rows = rows,
              .slots = states.size(1),
              .confidence = measure,
              .random_key = key,
              .ids_N = ids.mutable_data_ptr<int32_t>(),
              .confidence_N = this->confidence.mutable_data_ptr<float>(),
              .logsumexp_N = logsumexp.mutable_data_ptr<float>()};
    if (!noise.defined()) return;
    params.positions_N = noise_row(noise, 0), params.steps_N = noise_row(noise, 1),
    params.streams_N = noise_row(noise, 2);
  }

  at::Tensor states, noise, ids, confidence, logsumexp;
  kernels::SelectFinishParams params;
};

}  // namespace mmada::ops
