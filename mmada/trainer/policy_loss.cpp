// SPDX-License-Identifier: MIT
#include "mmada/trainer/policy_loss.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada {
namespace {

void check_tokens(const PolicyTokens& tokens, const PolicyLossOptions& options) {
  const int64_t count = tokens.logprobs_N.numel();
  const auto check = [&](const char* name, const at::Tensor& x) {
    MMADA_CHECK(x.dim() == 1 && x.size(0) == count, "policy loss: ", name, ": found ", x.sizes(),
                ", expected [", count, "]");
  };
  check("logprobs", tokens.logprobs_N), check("old", tokens.old_N), check("advantages", tokens.advantages_N);
  check("weights", tokens.weights_N), check("rows", tokens.rows_N);
  if (tokens.reference_N) check("reference", *tokens.reference_N);
  MMADA_CHECK(options.beta == 0 || tokens.reference_N,
              "policy loss: found no reference, expected one for a KL term of weight ", options.beta);
}

/// Every token's row mean, in each of its tokens.
at::Tensor row_means(const at::Tensor& x_N, const at::Tensor& rows_N) {
  if (x_N.numel() == 0) return x_N;
  const int64_t rows = rows_N.max().item<int64_t>() + 1;
  const at::Tensor sums = at::zeros({rows}, x_N.options().requires_grad(false)).index_add(0, rows_N, x_N);
  const at::Tensor counts = at::zeros_like(sums).index_add(0, rows_N, at::ones_like(x_N));
  return (sums / counts.clamp_min(1)).index_select(0, rows_N);
}

at::Tensor kl_terms(const at::Tensor& d_N, KlEstimator estimator) {
  switch (estimator) {
    case KlEstimator::kK1:
      return -d_N;
    case KlEstimator::kK2:
      return d_N.square() / 2;
    case KlEstimator::kK3:
      break;
  }
  return d_N.expm1() - d_N;
}

}  // namespace

KlEstimator kl_estimator_from_name(std::string_view name) {
  if (name == "k1") return KlEstimator::kK1;
  if (name == "k2") return KlEstimator::kK2;
  MMADA_CHECK(name == "k3", "KL estimator: found ", quote(name), ", expected k1, k2 or k3");
  return KlEstimator::kK3;
}

PolicyLoss policy_loss(const PolicyTokens& tokens, const PolicyLossOptions& options) {
  check_tokens(tokens, options);
  const double most = options.largest_log_ratio;
  at::Tensor log_ratio = tokens.logprobs_N - tokens.old_N;
  if (options.sequence_ratio) log_ratio = row_means(log_ratio, tokens.rows_N);
  const at::Tensor ratio = log_ratio.clamp(-most, most).exp();
  const at::Tensor &advantage = tokens.advantages_N, &weight = tokens.weights_N;
  const double low = 1 - options.clip_low, high = 1 + options.clip_high;
  const at::Tensor gain = at::minimum(ratio * advantage, ratio.clamp(low, high) * advantage);
  PolicyLoss result;
  result.loss = -(gain * weight).sum();
  const auto share = [&](const at::Tensor& x) { return (x.detach() * weight).sum(); };
  result.ratio = share(ratio);
  result.clipped_low = share(((ratio < low) & (advantage < 0)).to(weight.scalar_type()));
  result.clipped_high = share(((ratio > high) & (advantage > 0)).to(weight.scalar_type()));
  result.kl = at::zeros({}, weight.options());
  if (tokens.reference_N) {
    const at::Tensor terms =
        kl_terms((*tokens.reference_N - tokens.logprobs_N).clamp(-most, most), options.kl);
    result.kl = share(terms);
    if (options.beta != 0) result.loss = result.loss + options.beta * (terms * weight).sum();
  }
  return result;
}

}  // namespace mmada
