// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "mmada/diffusion/targets.h"
#include "mmada/model/token_logprobs.h"

namespace mmada {

/// Rows of one length that go through the network together, and what each flow wants of them.
struct RowGroup {
  RowBatch rows;
  std::vector<WeightedTargets> targets;
};

struct LossPart {
  std::string flow;
  at::Tensor loss;  ///< scalar fp32, without the coefficient
  double coefficient = 1.0;
};

struct Losses {
  at::Tensor total;  ///< sum of coefficient * loss; undefined when no flow has a target
  std::vector<LossPart> parts;
};

/// One pass per group, at the target positions alone, with one softmax per vocabulary window of the group.
/// Parts of the same flow in several groups are added up. Differentiable in the weights that require grad.
Losses weighted_losses(const TokenLogprobs& logprobs, const std::vector<RowGroup>& groups);
Losses weighted_losses(const Transformer& model, const std::vector<RowGroup>& groups);

}  // namespace mmada
