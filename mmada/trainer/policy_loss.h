// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace mmada {

/// Estimators of KL(policy || other) from tokens of the policy, with d = log p_other - log p_policy.
enum class KlEstimator {
  kK1,  ///< -d: unbiased, of either sign
  kK2,  ///< d^2 / 2: biased, small variance
  kK3   ///< e^d - d - 1: unbiased and never negative
};
KlEstimator kl_estimator_from_name(std::string_view name);  ///< "k1", "k2", "k3"

struct PolicyLossOptions {
  double clip_low = 0.2, clip_high = 0.2;  ///< the ratio counts within [1 - low, 1 + high]
  /// One ratio for all tokens of a row: of the geometric mean of its tokens' probabilities.
  bool sequence_ratio = false;
  double beta = 0.0;  ///< of the KL term; 0: none
  KlEstimator kl = KlEstimator::kK3;
  double largest_log_ratio = 10.0;  ///< differences of log p are cut to this on either side
};

/// What the objective is made of, token by token; [N], fp32 or fp64.
struct PolicyTokens {
  at::Tensor logprobs_N;                  ///< of the policy that is trained, differentiable
  at::Tensor old_N;                       ///< of the one that sampled, on the same noisy input
  std::optional<at::Tensor> reference_N;  ///< of what the KL is against; needed where beta is not 0
  at::Tensor advantages_N;                ///< of the token's response
  /// How much a token counts: 1 / (rows of the step x masked tokens of the row, or x |o|). Those of a row are
  /// equal.
  at::Tensor weights_N;
  at::Tensor rows_N;  ///< int64, from 0: the noisy row that a token belongs to
};

struct PolicyLoss {
  at::Tensor loss;  ///< to be made small: a scalar
  /// Shares of the weight whose ratio the clip holds back, below and above, and means by weight (SPEC 7.1).
  /// Detached scalars.
  at::Tensor clipped_low, clipped_high, ratio, kl;
};

/// -sum_t w_t min(r_t A_t, clip(r_t) A_t) + beta sum_t w_t KL_t with r_t = exp(log p_t - log p_old_t) (SPEC
/// 7.1). Sums: over processes and micro-batches it adds up, like its gradients.
PolicyLoss policy_loss(const PolicyTokens& tokens, const PolicyLossOptions& options = {});

}  // namespace mmada
