// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace mmada {

struct MaskedLogprobs {
  at::Tensor logprobs_N;   ///< log p(target), differentiable in hidden and head; fp32, fp64 for fp64 operands
  at::Tensor logsumexp_N;  ///< likewise
  at::Tensor entropy_N;    ///< likewise, defined only when asked for
};

/// A chunk of fp32 logits has at most so many rows and bytes: constants, so that results depend on shapes
/// alone; many rows per chunk keep the number of passes over the head low.
constexpr int64_t kLogprobsChunkRows = 2048, kLogprobsChunkBytes = int64_t{8} << 20;

/// log p of the targets under softmax(hidden @ head^T), in chunks: never a [rows, vocabulary] buffer.
///
/// hidden_ND [N, D], head_WD [W, D] (the rows of a vocabulary window), targets_N int64 in [0, W).
MaskedLogprobs masked_token_logprobs(const at::Tensor& hidden_ND, const at::Tensor& head_WD,
                                     const at::Tensor& targets_N, bool with_entropy = false);

}  // namespace mmada
