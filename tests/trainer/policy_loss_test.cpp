// SPDX-License-Identifier: MIT
#include "mmada/trainer/policy_loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "mmada/diffusion/response_noise.h"
#include "mmada/model/token_logprobs.h"
#include "tests/support/tiny_model.h"

namespace {

using namespace mmada;

at::Tensor doubles(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

/// Tokens whose ratios to the old policy are given.
PolicyTokens tokens_of(const std::vector<double>& ratios, const std::vector<double>& advantages,
                       const std::vector<double>& weights, const std::vector<int64_t>& rows) {
  return {.logprobs_N = doubles(ratios).log() - 2,
          .old_N = at::full({std::ssize(ratios)}, -2.0, at::kDouble),
          .reference_N = {},
          .advantages_N = doubles(advantages),
          .weights_N = doubles(weights),
          .rows_N = at::tensor(rows, at::kLong)};
}

double value(const at::Tensor& scalar) { return scalar.item<double>(); }

}  // namespace

TEST_CASE("two tokens by hand: the ratio counts until the clip, on the side that would pay") {
  const PolicyLossOptions options{.clip_low = 0.2, .clip_high = 0.28};
  // gains: min(1.5 * 2, 1.28 * 2) and min(0.5 * 2, 0.8 * 2)
  PolicyLoss found = policy_loss(tokens_of({1.5, 0.5}, {2, 2}, {0.5, 0.5}, {0, 0}), options);
  CHECK(value(found.loss) == Approx(-(2.56 + 1.0) / 2));
  CHECK(value(found.clipped_high) == Approx(0.5));
  CHECK(value(found.clipped_low) == 0);
  CHECK(value(found.ratio) == Approx(1.0));
  // of a bad response: min(-1.5, -1.28) and min(-0.5, -0.8)
  found = policy_loss(tokens_of({1.5, 0.5}, {-1, -1}, {0.5, 0.5}, {0, 0}), options);
  CHECK(value(found.loss) == Approx((1.5 + 0.8) / 2));
  CHECK(value(found.clipped_high) == 0);
  CHECK(value(found.clipped_low) == Approx(0.5));
}

TEST_CASE("a row's one ratio is that of the geometric mean of its probabilities") {
  const PolicyTokens tokens = tokens_of({4.0, 1.0, 0.9}, {1, 1, 3}, {0.25, 0.25, 0.5}, {0, 0, 1});
  const PolicyLoss found = policy_loss(tokens, {.clip_low = 5, .clip_high = 5, .sequence_ratio = true});
  CHECK(value(found.loss) == Approx(-(0.5 * 2.0 + 0.5 * 0.9 * 3)));
}

TEST_CASE(
    "where the policy is the old one the loss is minus the mean advantage, and its gradient that of log p") {
  PolicyTokens tokens = tokens_of({1, 1, 1}, {1, 1, -2}, {0.25, 0.25, 0.5}, {0, 0, 1});
  for (const bool sequence : {false, true}) {
    tokens.logprobs_N = tokens.old_N.clone().requires_grad_(true);
    const PolicyLoss found = policy_loss(tokens, {.sequence_ratio = sequence});
    CHECK(value(found.loss) == Approx(0.5));
    found.loss.backward();
    CHECK(at::allclose(tokens.logprobs_N.grad(), doubles({-0.25, -0.25, 1.0})));
  }
}

TEST_CASE("the KL estimators by hand, and none where its weight is 0") {
  PolicyTokens tokens = tokens_of({1, 1}, {0, 0}, {0.5, 0.5}, {0, 0});
  tokens.reference_N = tokens.logprobs_N + doubles({std::log(2.0), 0.0});
  const auto loss = [&](KlEstimator kl) { return value(policy_loss(tokens, {.beta = 0.1, .kl = kl}).loss); };
  const double d = std::log(2.0);
  CHECK(loss(KlEstimator::kK1) == Approx(0.05 * -d));
  CHECK(loss(KlEstimator::kK2) == Approx(0.05 * d * d / 2));
  CHECK(loss(KlEstimator::kK3) == Approx(0.05 * (2 - d - 1)));
  const PolicyLoss off = policy_loss(tokens);
  CHECK(value(off.loss) == 0);
  CHECK(value(off.kl) == Approx(0.5 * (1 - d)));  // it is measured all the same
  tokens.reference_N.reset();
  CHECK_THROWS_WITH(policy_loss(tokens, {.beta = 0.1}), Catch::Contains("found no reference"));
  CHECK_THROWS_WITH(kl_estimator_from_name("k4"), Catch::Contains("expected k1, k2 or k3"));
}

TEST_CASE("the objective's gradient is that of finite differences in fp64, for every option") {
  at::manual_seed(3);
  const at::TensorOptions fp64(at::kDouble);
  PolicyTokens tokens{.logprobs_N = at::randn({8}, fp64) * 0.3 - 2,
                      .old_N = at::randn({8}, fp64) * 0.3 - 2,
                      .reference_N = at::randn({8}, fp64) * 0.3 - 2,
                      .advantages_N = at::randn({8}, fp64),
                      .weights_N = at::rand({8}, fp64),
                      .rows_N = at::tensor({0, 0, 0, 1, 1, 2, 2, 2}, at::kLong)};
  for (const bool sequence : {false, true})
    for (const KlEstimator kl : {KlEstimator::kK1, KlEstimator::kK2, KlEstimator::kK3}) {
      const PolicyLossOptions options{
          .clip_low = 0.1, .clip_high = 0.3, .sequence_ratio = sequence, .beta = 0.2, .kl = kl};
      const at::Tensor at_point = tokens.logprobs_N.detach().clone();
      tokens.logprobs_N = at_point.clone().requires_grad_(true);
      policy_loss(tokens, options).loss.backward();
      const at::Tensor gradient = tokens.logprobs_N.grad();
      for (int64_t i = 0; i < 8; ++i) {
        constexpr double kStep = 1e-6;
        const auto moved = [&](double by) {
          tokens.logprobs_N = at_point.clone();
          tokens.logprobs_N[i] += by;
          return value(policy_loss(tokens, options).loss);
        };
        CHECK((moved(kStep) - moved(-kStep)) / (2 * kStep) ==
              Approx(gradient[i].item<double>()).margin(1e-8).epsilon(1e-6));
      }
      tokens.logprobs_N = at_point;
    }
}

TEST_CASE("losses of parts add up to that of the whole, and log ratios out of bounds stay finite") {
  PolicyTokens whole = tokens_of({1.1, 0.7, 1.4}, {1, 1, -2}, {0.25, 0.25, 0.5}, {0, 0, 1});
  const PolicyTokens first = tokens_of({1.1, 0.7}, {1, 1}, {0.25, 0.25}, {0, 0}),
                     second = tokens_of({1.4}, {-2}, {0.5}, {0});
  CHECK(value(policy_loss(whole).loss) ==
        Approx(value(policy_loss(first).loss) + value(policy_loss(second).loss)));
  whole.old_N[0] = -1000.0;
  CHECK(std::isfinite(value(policy_loss(whole).loss)));
  whole.weights_N = doubles({1});
  CHECK_THROWS_WITH(policy_loss(whole), Catch::Contains("weights: found [1], expected [3]"));
}

TEST_CASE("the mean over drawn masks is the sum over all masks by their probabilities") {
  const Transformer model = test::tiny_transformer(MMADA_TEST_DATA "/golden/tiny_mmada");
  const at::NoGradGuard no_grad;
  constexpr int64_t kTokens = 4, kPrompt = 3, kMask = 380;
  constexpr double kShare = 0.4;
  const std::vector<int64_t> row = {10, 11, 12, 40, 41, 42, 43};
  // mean log p of the masked tokens, for every set of masked tokens
  std::vector<double> of_mask(1 << kTokens), probability(of_mask.size());
  for (size_t mask = 1; mask < of_mask.size(); ++mask) {
    std::vector<int64_t> ids = row, positions, targets;
    probability[mask] = 1;
    for (int64_t i = 0; i < kTokens; ++i) {
      const bool masked = mask >> i & 1;
      probability[mask] *= masked ? kShare : 1 - kShare;
      if (!masked) continue;
      ids[kPrompt + i] = kMask, positions.push_back(kPrompt + i), targets.push_back(row[kPrompt + i]);
    }
    if (positions.size() == 1)
      probability[mask] += std::pow(1 - kShare, kTokens) / kTokens;  // drawn for none
    const std::vector<WindowTargets> wanted{{.window = {0, 512}, .ids_N = at::tensor(targets, at::kLong)}};
    const RowBatch rows{.ids_BT = at::tensor(ids, at::kLong).unsqueeze(0)};
    of_mask[mask] =
        token_logprobs(model)(rows, at::tensor(positions, at::kLong), wanted).mean().item<double>();
  }
  double expected = 0, square = 0, total = 0;
  for (size_t mask = 1; mask < of_mask.size(); ++mask) {
    expected += probability[mask] * of_mask[mask],
        square += probability[mask] * of_mask[mask] * of_mask[mask];
    total += probability[mask];
  }
  CHECK(total == Approx(1));
  constexpr int64_t kDraws = 20000;
  double sum = 0;
  for (int64_t response = 0; response < kDraws; ++response) {
    const auto drawn = mask_response({}, kTokens, kShare, {}, {.seed = 1, .response = response});
    size_t mask = 0;
    for (const int64_t token : drawn[0].masked) mask |= size_t{1} << token;
    sum += of_mask[mask];
  }
  CHECK(std::abs(sum / kDraws - expected) < 5 * std::sqrt((square - expected * expected) / kDraws));
}
