// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "mmada/core/types.h"

namespace mmada {

/// Where a row's noise comes from: its bits are a pure function of (seed, stream, step, position, vocabulary
/// id), so a row draws the same noise alone, in any batch and on any device.
struct NoiseSource {
  uint64_t seed = 0;
  uint32_t stream = 0;  ///< of the row
  uint32_t step = 0;    ///< the row's own step counter
};
/// One uniform number in (0, 1) per position, from the stream called `name`.
float position_uniform(const NoiseSource& source, std::string_view name, int64_t position);
/// Standard Gumbel noise -log(-log u) per position, from the stream called `name`.
double position_gumbel(const NoiseSource& source, std::string_view name, int64_t position);

/// What ranks the proposals of a step (SPEC 5.1).
enum class Confidence {
  kProbability,  ///< p(chosen token): "low_confidence"
  kMargin,       ///< p(best) - p(second best): "margin_confidence"
  kNegEntropy,   ///< sum p log p: "neg_entropy"
  kRandom,       ///< U(0, 1), independent of the logits: "random"
};

struct SelectParams {
  Window window = {};                       ///< vocabulary ids of the logits' columns
  std::span<const int64_t> positions = {};  ///< place of each logits row in its token row; keys the noise
  std::span<const int64_t> banned = {};     ///< vocabulary ids that count as logit -inf
  /// Chosen ids with confidence -inf; they are left out of the softmax too.
  std::span<const int64_t> never_confident = {};
  Confidence confidence = Confidence::kProbability;
  double temperature =
      0.0;  ///< of the choice: argmax over logits + temperature * Gumbel; 0: argmax, lowest id on ties
  int64_t top_k = 0;  ///< > 0: choose among the k best only (confidence stays that of the whole window)
  double top_p =
      1.0;  ///< < 1: choose in the smallest set whose probability at this temperature reaches top_p
  /// select_from_head alone: whole rows in fp64, as here and as published, instead of fp32 in one pass.
  bool double_precision = false;
  bool log_probabilities = false;  ///< the rows are log p already: confidence is exp(row[chosen]) as given
  NoiseSource noise = {};
};

/// A proposal per logits row.
struct Selected {
  std::vector<int64_t> ids;        ///< vocabulary ids
  std::vector<double> confidence;  ///< from un-noised logits, softmax in fp64 (SPEC 5.1)
};

/// Chooses a token per row and says how sure the model is, in one pass over each row.
///
/// logits_NW is [N, window.size()], any float type. Rows are spread over threads in chunks fixed by the
/// shape. Logits on another device are copied to the CPU, where the counter-based noise lives, so every
/// device picks the same tokens.
Selected select_tokens(const at::Tensor& logits_NW, const SelectParams& params);

}  // namespace mmada
