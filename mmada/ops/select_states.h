// SPDX-License-Identifier: MIT
// Shape suffixes: N rows, C columns of a chunk of the vocabulary, S states of a row.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>

namespace mmada {

/// The settings of a pass over some columns of a step's logits that are not tensors.
struct SelectChunk {
  int64_t first_id = 0;  ///< vocabulary id of column 0
  double temperature = 0.0;
  double guidance = 0.0;
  bool difference_form = true;  ///< see GuidanceMix
};

/// Folds a chunk of logits [N, C] into per-row states, int32 [N, S, 8] (kernels::SelectState): all that a
/// choice and its confidence need. States of a row's chunks are joined by at::cat along S.
///
/// uncond: the guided rows' twins, like logits. banned_bits: int32 words, bit id % 32 of word id / 32 set
/// where an id counts as -inf. noise_3N: int32 positions, step counters and streams, and token_key, the int64
/// stream_key(seed, "token"); both needed where temperature > 0. One pass over the logits; fp32 statistics
/// (fp32 and bf16 on CPUs, fp16 too on GPUs). The op is mmada::select_statistics.
at::Tensor select_statistics(const at::Tensor& logits_NC, const std::optional<at::Tensor>& uncond_NC,
                             const std::optional<at::Tensor>& banned_bits,
                             const std::optional<at::Tensor>& noise_3N,
                             const std::optional<at::Tensor>& token_key, const SelectChunk& chunk);

constexpr int32_t kNoChoice = INT32_MAX;

struct SelectAnswers {
  at::Tensor ids_N;         ///< int32; kNoChoice where a row has nothing but -inf or NaN
  at::Tensor confidence_N;  ///< fp32; NaN there
  at::Tensor logsumexp_N;   ///< fp32
};

/// Joins every row's states. confidence: "probability", "margin", "neg_entropy" or "random", the last from
/// noise_3N and random_key, the int64 stream_key(seed, "random_confidence"). The op is mmada::select_finish.
SelectAnswers select_finish(const at::Tensor& states_NS8, const std::optional<at::Tensor>& noise_3N,
                            std::string_view confidence, const std::optional<at::Tensor>& random_key);

}  // namespace mmada
