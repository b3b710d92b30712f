// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "mmada/diffusion/response_noise.h"
#include "mmada/model/token_logprobs.h"
#include "mmada/text/token_layout.h"
#include "mmada/trainer/unigrpo/rollout.h"

namespace mmada {

/// How a token's part in the loss is weighed (SPEC 7.1).
enum class LossAggregation {
  kSequence,  ///< the mean over rows of each row's mean over its tokens
  kToken      ///< the mean over all tokens of the update
};
struct PolicyWeighting {
  LossAggregation aggregation = LossAggregation::kSequence;
  /// kSequence: a row's sum is divided by |o|, the tokens of the whole response, rather than by those that
  /// have a loss.
  bool by_response_length = false;
};

/// What the responses of an outer step are noised by; every mask is a pure function of it.
struct PolicyNoise {
  NoiseLevels levels;
  ResponseNoiseOptions noise;
  uint64_t seed = 0;
  int64_t outer_step = 0;
};

/// A noisy copy of a response.
struct PolicyRow {
  int64_t response = 0;  ///< its number among the outer step's
  TokenIds ids;
  std::vector<int64_t> positions = {};  ///< in `ids`, ascending: what has a loss
  std::vector<int64_t> targets = {};    ///< the response's tokens there
  bool picture = false;
  int64_t first = 0;  ///< place of its first target among the update's of all responses
  double weight = 0;  ///< of each of its tokens
};

/// The noisy copies of the responses [span) that have an advantage, for one update, in their order. Weights
/// are those among the copies of all responses of the outer step, whoever makes these.
std::vector<PolicyRow> policy_rows(std::span<const Response> responses,
                                   std::span<const std::optional<double>> advantages, Span span,
                                   int64_t update, const PolicyNoise& noise, const PolicyWeighting& weighting,
                                   const TokenLayout& layout);

/// Some rows that go through the network together, packed behind one another.
struct PolicyPass {
  RowBatch rows;
  at::Tensor positions_N;  ///< int64, flat
  std::vector<WindowTargets> targets;
  at::Tensor weights_N;    ///< fp64
  at::Tensor rows_N;       ///< int64: the row, from 0 in this pass, of each token
  int64_t first = 0;       ///< place of the first target among the update's of all responses
  at::Tensor responses_N;  ///< int64: the response of each token
};
/// Passes of at most `tokens` tokens each (a longer row is a pass of its own), in the rows' order.
std::vector<PolicyPass> policy_passes(std::span<const PolicyRow> rows, int64_t tokens,
                                      const TokenLayout& layout);

}  // namespace mmada
