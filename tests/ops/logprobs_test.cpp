// SPDX-License-Identifier: MIT
#include "mmada/ops/logprobs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>

#include "mmada/core/check.h"
#include "tests/support/memory_meter.h"
#include "tests/support/tensors.h"

namespace mmada {
namespace {

struct Problem {
  at::Tensor hidden, head, targets;
};

// Logits of a few units, so that neither the largest nor the rest vanishes.
Problem make_problem(int64_t count, int64_t width, int64_t window, at::ScalarType type = at::kFloat) {
  const double scale = 2.0 / std::sqrt(static_cast<double>(width));
  return {random_tensor({count, width}, 1).to(type),
          random_tensor({window, width}, 2).mul_(scale * 1.5).to(type),
          random_tensor({count}, 3).mul_(1e4).to(at::kLong).remainder(window)};
}

// The plain formula in fp64 with every logit in memory.
MaskedLogprobs plain(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets) {
  const at::Tensor logits = at::linear(hidden.to(at::kDouble), head.to(at::kDouble));
  const at::Tensor logp = logits.log_softmax(1);
  return {logp.gather(1, targets.unsqueeze(1)).squeeze(1), logits.logsumexp(1), -(logp.exp() * logp).sum(1)};
}

struct Gradients {
  at::Tensor hidden, head;
};

template <class Function>
Gradients gradients(const Problem& problem, at::ScalarType type, Function&& logprobs) {
  const at::Tensor hidden = problem.hidden.to(type).clone().set_requires_grad(true);
  const at::Tensor head = problem.head.to(type).clone().set_requires_grad(true);
  const MaskedLogprobs result = logprobs(hidden, head);
  const at::Tensor weights = random_tensor({hidden.size(0)}, 4).to(result.logprobs_N.scalar_type());
  ((result.logprobs_N * weights).sum() + (result.logsumexp_N * weights).square().sum()).backward();
  return {hidden.grad(), head.grad()};
}

void check_against_plain(const Problem& problem, double tolerance, double gradient_tolerance) {
  const auto exact = plain(problem.hidden, problem.head, problem.targets);
  const auto found = masked_token_logprobs(problem.hidden, problem.head, problem.targets, true);
  CHECK(found.logprobs_N.scalar_type() == at::kFloat);
  CHECK(max_difference(found.logprobs_N, exact.logprobs_N) < tolerance);
  CHECK(max_difference(found.logsumexp_N, exact.logsumexp_N) < tolerance);
  CHECK(max_difference(found.entropy_N, exact.entropy_N) <
        3 * tolerance);  // a difference of two larger numbers
  const auto by_op =
      gradients(problem, problem.hidden.scalar_type(), [&](const auto& hidden, const auto& head) {
        return masked_token_logprobs(hidden, head, problem.targets);
      });
  const auto by_formula = gradients(problem, at::kDouble, [&](const auto& hidden, const auto& head) {
    return plain(hidden, head, problem.targets);
  });
  CHECK(by_op.hidden.scalar_type() == problem.hidden.scalar_type());
  CHECK(max_difference(by_op.hidden, by_formula.hidden) <
        gradient_tolerance * by_formula.hidden.abs().max().item<double>());
  CHECK(max_difference(by_op.head, by_formula.head) <
        gradient_tolerance * by_formula.head.abs().max().item<double>());
}

}  // namespace

TEST_CASE("operands of double precision give the plain formula to its last digits, gradients too") {
  const Problem problem = make_problem(37, 24, 301, at::kDouble);
  const MaskedLogprobs found = masked_token_logprobs(problem.hidden, problem.head, problem.targets),
                       expected = plain(problem.hidden, problem.head, problem.targets);
  CHECK(found.logprobs_N.scalar_type() == at::kDouble);
  CHECK(max_difference(found.logprobs_N, expected.logprobs_N) < 1e-13);
  CHECK(max_difference(found.logsumexp_N, expected.logsumexp_N) < 1e-13);
  const auto ours = gradients(problem, at::kDouble, [&](const at::Tensor& hidden, const at::Tensor& head) {
    return masked_token_logprobs(hidden, head, problem.targets);
  });
  const auto theirs = gradients(problem, at::kDouble, [&](const at::Tensor& hidden, const at::Tensor& head) {
    return plain(hidden, head, problem.targets);
  });
  CHECK(max_difference(ours.hidden, theirs.hidden) < 1e-12);
  CHECK(max_difference(ours.head, theirs.head) < 1e-12);
}

TEST_CASE("log-probabilities, log-sum-exp, entropy and gradients equal the fp64 formula") {
  check_against_plain(make_problem(1, 8, 1), 1e-6, 1e-5);
  check_against_plain(make_problem(33, 16, 97), 5e-6, 1e-5);
}

TEST_CASE("they do so across several chunks of rows and of ids") {
  check_against_plain(make_problem(2500, 8, 1300), 1e-5, 2e-5);  // 2 chunks of rows, 2 of ids
  check_against_plain(make_problem(300, 8, 20000), 1e-5, 2e-5);  // 1 chunk of rows, 3 of ids
}

TEST_CASE("low-precision inputs are computed on in fp32") {
  check_against_plain(make_problem(40, 16, 97, at::kBFloat16), 1e-5, 1.0 / 256);
  check_against_plain(make_problem(40, 16, 97, at::kHalf), 1e-5, 1.0 / 2048);
}

TEST_CASE("logits of thousands neither overflow nor lose the target") {
  Problem problem = make_problem(6, 4, 50);
  problem.hidden.mul_(3000);
  const auto exact = plain(problem.hidden, problem.head, problem.targets);
  const auto found = masked_token_logprobs(problem.hidden, problem.head, problem.targets, true);
  CHECK(max_difference(found.logprobs_N, exact.logprobs_N) < 2e-2);
  CHECK(at::isfinite(found.entropy_N).all().item<bool>());
}

TEST_CASE("the gradient of a window flows into its rows of the whole head") {
  const Problem problem = make_problem(5, 8, 30);
  const at::Tensor head = problem.head.clone().set_requires_grad(true);
  masked_token_logprobs(problem.hidden, head.narrow(0, 10, 7), problem.targets.remainder(7))
      .logprobs_N.sum()
      .backward();
  const at::Tensor norms = head.grad().abs().sum(1);
  CHECK(norms.slice(0, 0, 10).sum().item<double>() == 0.0);
  CHECK(norms.slice(0, 17).sum().item<double>() == 0.0);
  CHECK(norms.slice(0, 10, 17).min().item<double>() > 0.0);
}

TEST_CASE("no rows give empty results and zero gradients") {
  const at::Tensor head = random_tensor({9, 4}, 1).set_requires_grad(true);
  const at::Tensor hidden = at::zeros({0, 4}).set_requires_grad(true);
  const auto result = masked_token_logprobs(hidden, head, at::zeros({0}, at::kLong), true);
  CHECK(result.logprobs_N.sizes() == at::IntArrayRef({0}));
  result.logprobs_N.sum().backward();
  CHECK(head.grad().abs().sum().item<double>() == 0.0);
}

TEST_CASE("peak scratch memory stays bounded where the logits would take far more") {
  const Problem problem = make_problem(4096, 4, 40000);  // logits: 655 MB in fp32
  const at::Tensor hidden = problem.hidden.set_requires_grad(true),
                   head = problem.head.set_requires_grad(true);
  const auto meter = std::make_shared<test::TensorMemoryMeter>();
  {
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
    masked_token_logprobs(hidden, head, problem.targets, true).logprobs_N.sum().backward();
  }
  CHECK(meter->peak > int64_t{8} << 20);  // it does meter
  CHECK(meter->peak < int64_t{64} << 20);
}

TEST_CASE("targets outside the window are an error") {
  const Problem problem = make_problem(3, 4, 5);
  CHECK_THROWS_WITH(masked_token_logprobs(problem.hidden, problem.head, at::full({3}, 5, at::kLong)),
                    Catch::Contains("expected 0 to 4"));
  CHECK_THROWS_AS(masked_token_logprobs(problem.hidden, problem.head, at::zeros({2}, at::kLong)), Error);
}

}  // namespace mmada
