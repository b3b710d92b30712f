// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/policy_rows.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "mmada/core/rng.h"
#include "mmada/trainer/policy_loss.h"
#include "tests/model/small_training.h"

namespace mmada {
namespace {

using namespace test;

constexpr int64_t kMask = 39;

/// The small network's vocabulary of 60: text below 40, codes from 40 on.
TokenLayout small_layout() {
  TokenLayout layout;
  layout.vocab_size = kVocabulary, layout.bos = 0, layout.eos = 1, layout.mask = kMask;
  layout.image_token_offset = 40, layout.codebook_size = 20;
  return layout;
}

Response text_response() {
  return {.ids = {0, 5, 6, 7, 8, 9, kMask}, .tokens = {2, 3, 4, 5}, .commit_steps = {1, 0, 0, 2}};
}
Response picture_response() {
  return {.ids = {0, 4, 41, 42, 43, 3}, .tokens = {2, 3, 4}, .commit_steps = {0, 1, 1}, .picture = true};
}

PolicyNoise noise_of(ResponseNoise kind, double share = 0.5) {
  return {.levels = {.spacing = NoiseSpacing::kFixed, .updates = 2, .fixed_share = share},
          .noise = {.kind = kind},
          .seed = 3,
          .outer_step = 4};
}

std::vector<PolicyRow> rows_of_all(const std::vector<Response>& responses,
                                   const std::vector<std::optional<double>>& advantages,
                                   const PolicyNoise& noise, const PolicyWeighting& weighting = {}) {
  return policy_rows(responses, advantages, {0, std::ssize(responses)}, 1, noise, weighting, small_layout());
}

TEST_CASE("only the response is masked, and a masked token's target is what stood there") {
  const std::vector<Response> responses{text_response(), picture_response(), text_response()};
  for (const ResponseNoise kind :
       {ResponseNoise::kStructured, ResponseNoise::kCoupled, ResponseNoise::kTrace})
    for (const PolicyRow& row : rows_of_all(responses, {1.0, -1.0, 0.5}, noise_of(kind))) {
      const Response& response = responses[row.response];
      REQUIRE(row.ids.size() == response.ids.size());
      for (size_t i = 0; i < row.ids.size(); ++i) {
        const bool chosen = std::ranges::count(response.tokens, static_cast<int64_t>(i)) > 0;
        if (row.ids[i] != response.ids[i]) CHECK((chosen && row.ids[i] == kMask));
      }
      for (size_t i = 0; i < row.positions.size(); ++i) {
        CHECK(row.ids[row.positions[i]] == kMask);
        CHECK(row.targets[i] == response.ids[row.positions[i]]);
      }
    }
}

TEST_CASE("a response without an advantage has no row, and the others are as they were") {
  const std::vector<Response> responses{text_response(), picture_response(), text_response()};
  const auto all = rows_of_all(responses, {1.0, 1.0, 1.0}, noise_of(ResponseNoise::kStructured));
  const auto some = rows_of_all(responses, {1.0, std::nullopt, 1.0}, noise_of(ResponseNoise::kStructured));
  REQUIRE(all.size() == 3);
  REQUIRE(some.size() == 2);
  CHECK(some[0].ids == all[0].ids);
  CHECK(some[1].ids == all[2].ids);
  CHECK(some[1].response == 2);
}

TEST_CASE("weights sum to 1 over the update, by rows or by tokens, and |o| counts what has no loss too") {
  const std::vector<Response> responses{text_response(), picture_response(), text_response()};
  const auto sum_of = [&](const PolicyWeighting& weighting) {
    double sum = 0;
    for (const PolicyRow& row :
         rows_of_all(responses, {1.0, 1.0, 1.0}, noise_of(ResponseNoise::kStructured), weighting))
      sum += row.weight * static_cast<double>(row.targets.size());
    return sum;
  };
  CHECK(sum_of({}) == Approx(1));
  CHECK(sum_of({.aggregation = LossAggregation::kToken}) == Approx(1));
  const auto rows = rows_of_all(responses, {1.0, 1.0, 1.0}, noise_of(ResponseNoise::kStructured),
                                {.by_response_length = true});
  for (const PolicyRow& row : rows)
    CHECK(row.weight == Approx(1.0 / (3.0 * static_cast<double>(responses[row.response].tokens.size()))));
}

TEST_CASE("a process's rows are those of its responses among everybody's, with the same weights") {
  const std::vector<Response> responses{text_response(), picture_response(), text_response()};
  const std::vector<std::optional<double>> advantages{1.0, 2.0, 3.0};
  const PolicyNoise noise = noise_of(ResponseNoise::kCoupled);
  std::vector<PolicyRow> joined;
  for (const Span span : {Span{0, 1}, Span{1, 1}, Span{1, 3}})
    for (const PolicyRow& row : policy_rows(responses, advantages, span, 1, noise, {}, small_layout()))
      joined.push_back(row);
  const auto all = rows_of_all(responses, advantages, noise);
  REQUIRE(joined.size() == all.size());
  int64_t first = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    CHECK(joined[i].ids == all[i].ids);
    CHECK(joined[i].weight == all[i].weight);
    CHECK(joined[i].first == first);  // where the cached log-probabilities of its tokens begin
    first += std::ssize(all[i].targets);
  }
}

/// log p of a row's tokens, the row alone and unpacked.
at::Tensor alone(const Transformer& model, const PolicyRow& row) {
  const Window window = row.picture ? small_layout().code_window() : small_layout().text_window();
  return token_logprobs(model)({.ids_BT = at::tensor(row.ids, at::kLong).unsqueeze(0)},
                               at::tensor(row.positions, at::kLong),
                               {{.window = window, .ids_N = at::tensor(row.targets, at::kLong)}});
}

TEST_CASE("rows packed into passes of any size have the log-probabilities of rows alone") {
  const at::NoGradGuard no_grad;
  const Transformer model = plain_transformer(false, at::kDouble);
  const std::vector<Response> responses{text_response(), picture_response(), text_response(),
                                        picture_response()};
  const auto rows = rows_of_all(responses, {1.0, 1.0, 1.0, 1.0}, noise_of(ResponseNoise::kTrace));
  std::vector<at::Tensor> expected;
  for (const PolicyRow& row : rows) expected.push_back(alone(model, row));
  for (const int64_t tokens : {1, 14, 1000}) {
    std::vector<at::Tensor> found;
    int64_t rows_found = 0;
    for (const PolicyPass& pass : policy_passes(rows, tokens, small_layout())) {
      CHECK((pass.rows.ids_BT.numel() <= tokens || pass.rows.offsets.size() == 2));
      found.push_back(token_logprobs(model)(pass.rows, pass.positions_N, pass.targets));
      rows_found += std::ssize(pass.rows.offsets) - 1;
      CHECK(pass.weights_N.numel() == found.back().numel());
      CHECK(pass.rows_N.max().item<int64_t>() == std::ssize(pass.rows.offsets) - 2);
    }
    CHECK(rows_found == std::ssize(rows));
    CHECK(at::allclose(at::cat(found), at::cat(expected), 1e-12, 1e-12));
  }
}

/// Minus the objective of two responses, one of them a picture, in fp64.
double objective(const Transformer& model, const std::vector<PolicyPass>& passes, const at::Tensor& old_N,
                 bool differentiate) {
  double sum = 0;
  int64_t first = 0;
  for (const PolicyPass& pass : passes) {
    const at::Tensor logprobs = token_logprobs(model)(pass.rows, pass.positions_N, pass.targets);
    const at::Tensor old = old_N.narrow(0, first, logprobs.numel());
    first += logprobs.numel();
    const PolicyLoss found = policy_loss({.logprobs_N = logprobs,
                                          .old_N = old,
                                          .reference_N = old - 0.1,
                                          .advantages_N = 1.5 - 2.0 * pass.responses_N.to(at::kDouble),
                                          .weights_N = pass.weights_N,
                                          .rows_N = pass.rows_N},
                                         {.beta = 0.3});
    if (differentiate) found.loss.backward();
    sum += found.loss.item<double>();
  }
  return sum;
}

TEST_CASE("the objective's gradient in the weights agrees with finite differences in fp64") {
  const Transformer model = plain_transformer(false, at::kDouble);
  const std::vector<Response> responses{text_response(), picture_response()};
  const auto rows = rows_of_all(responses, {1.5, -0.5}, noise_of(ResponseNoise::kCoupled));
  const auto passes = policy_passes(rows, 9, small_layout());
  std::vector<at::Tensor> logprobs;
  {
    const at::NoGradGuard no_grad;
    for (const PolicyPass& pass : passes)
      logprobs.push_back(token_logprobs(model)(pass.rows, pass.positions_N, pass.targets));
  }
  const at::Tensor old = at::cat(logprobs) - 0.05;  // ratios of 1.05: inside the clip, away from its corners
  objective(model, passes, old, true);
  for (const NamedParameter& parameter : model.parameters()) {
    const at::NoGradGuard no_grad;
    INFO(parameter.name);
    at::Tensor flat = parameter.tensor.view(-1);
    // where the gradient is largest: an embedding that no row holds has none
    const int64_t at = parameter.tensor.grad().flatten().abs().argmax().item<int64_t>();
    const double kept = flat[at].item<double>(), step = 1e-6;
    flat[at].fill_(kept + step);
    const double above = objective(model, passes, old, false);
    flat[at].fill_(kept - step);
    const double below = objective(model, passes, old, false);
    flat[at].fill_(kept);
    CHECK(parameter.tensor.grad().flatten()[at].item<double>() ==
          Approx((above - below) / (2 * step)).epsilon(1e-5));
  }
}

TEST_CASE("the estimated log-likelihood's mean over masks is that over all masks there are") {
  const at::NoGradGuard no_grad;
  const Transformer model = plain_transformer(false, at::kDouble);
  const Response response = text_response();
  constexpr double kShare = 0.4;
  constexpr int64_t kDraws = 4000;
  const auto tokens = std::ssize(response.tokens);
  std::map<std::vector<int64_t>, double> likelihoods;  // by what is masked
  const auto likelihood = [&](const PolicyRow& row) {
    const auto [known, fresh] = likelihoods.try_emplace(row.positions);
    if (fresh) known->second = alone(model, row).mean().item<double>();
    return known->second;
  };
  double exact = 0, exact_square = 0;
  const auto count = [&](double probability, double value) {
    exact += probability * value, exact_square += probability * value * value;
  };
  for (int64_t set = 1; set < int64_t{1} << tokens; ++set) {
    PolicyRow row{.ids = response.ids};
    for (int64_t i = 0; i < tokens; ++i)
      if (set >> i & 1) {
        row.ids[response.tokens[i]] = kMask;
        row.positions.push_back(response.tokens[i]);
        row.targets.push_back(response.ids[response.tokens[i]]);
      }
    const auto masked = static_cast<double>(row.positions.size());
    double probability =
        std::pow(kShare, masked) * std::pow(1 - kShare, static_cast<double>(tokens) - masked);
    // where nothing would be masked one token is, any of them
    if (masked == 1)
      probability += std::pow(1 - kShare, static_cast<double>(tokens)) / static_cast<double>(tokens);
    count(probability, likelihood(row));
  }
  double mean = 0;
  for (int64_t draw = 0; draw < kDraws; ++draw) {
    PolicyNoise noise = noise_of(ResponseNoise::kStructured, kShare);
    noise.outer_step = draw;
    const std::vector<Response> one{response};
    mean += likelihood(rows_of_all(one, {1.0}, noise).front()) / kDraws;
  }
  const double deviation = std::sqrt((exact_square - exact * exact) / kDraws);
  CHECK(std::abs(mean - exact) < 4 * deviation);
  CHECK(deviation > 1e-4);  // masks matter
}

}  // namespace
}  // namespace mmada
