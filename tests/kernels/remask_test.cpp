// SPDX-License-Identifier: MIT
#include "kernels/remask/remask.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "mmada/core/rng.h"

using namespace mmada::kernels;

namespace {

constexpr int32_t kMask = 126336;
constexpr RemaskRule kRules[] = {RemaskRule::kCount, RemaskRule::kThreshold, RemaskRule::kFactor,
                                 RemaskRule::kMaskGit};

/// What a step changes.
struct State {
  std::vector<int32_t> tokens, commit_step, steps;
  std::vector<uint8_t> done;
  bool operator==(const State&) const = default;
};

struct Problem {
  Problem(int64_t batch, int64_t slots, int64_t steps, RemaskRule rule)
      : proposals(batch * slots), confidence(batch * slots), counts(batch * steps), streams(batch, 5) {
    params.rule = rule, params.mask_id = kMask, params.batch = batch, params.slots = slots,
    params.steps = steps;
    params.token_stride = slots + 9, params.noise_key = 4711, params.threshold = 0.6f;
    mmada::Rng rng(11, "remask_test");
    for (size_t i = 0; i < confidence.size(); ++i) {
      proposals[i] = static_cast<int32_t>(1000 + i);
      confidence[i] = static_cast<float>(rng.below(65)) / 64;  // ties are common
    }
    for (int64_t b = 0; b < batch; ++b) begins.push_back(static_cast<int32_t>(b % 9));
    for (size_t i = 0; i < counts.size(); ++i) counts[i] = static_cast<int32_t>(i * 5 % 13);
    state.tokens.assign(batch * params.token_stride, kMask);  // masks outside the region too
    for (size_t i = 0; i < state.tokens.size(); i += 5) state.tokens[i] = 3;
    state.commit_step.assign(state.tokens.size(), -7);
    state.steps.assign(batch, 0);
    state.done.assign(batch, 0);
    params.begins_B = begins.data(), params.proposals_BR = proposals.data(),
    params.confidence_BR = confidence.data();
    params.counts_BS = counts.data(), params.streams_B = streams.data();
  }
  RemaskParams on(State& s) const {
    RemaskParams p = params;
    p.tokens_BT = s.tokens.data(), p.commit_step_BT = s.commit_step.data();
    p.steps_B = s.steps.data(), p.done_B = s.done.data();
    return p;
  }
  State kernel(State from) const {
    REQUIRE(remask(on(from), {}) == Status::kOk);
    return from;
  }
  State reference(State from) const {
    remask_ref(on(from));
    return from;
  }
  /// Every step on the way to the end.
  void check() const {
    State got = state;
    for (int64_t step = 0; step < params.steps; ++step) {
      const State expected = reference(got);
      got = kernel(got);
      REQUIRE(got == expected);
    }
  }

  std::vector<int32_t> proposals, begins;
  std::vector<float> confidence, temperatures;
  std::vector<int32_t> counts;
  std::vector<uint32_t> streams;
  State state;
  RemaskParams params;
};

}  // namespace

TEST_CASE("every commit rule gives the oracle's tokens, steps and flags, ties included") {
  for (const RemaskRule rule : kRules)
    for (const int64_t slots : {1, 33, 97, 1025}) Problem(3, slots, 4, rule).check();
}

TEST_CASE("MaskGIT's noise changes what is committed and is the oracle's") {
  Problem problem(3, 97, 4, RemaskRule::kMaskGit);
  const State quiet = problem.kernel(problem.state);
  problem.temperatures = {3.0f, 2.0f, 1.0f, 0.5f};
  problem.params.temperatures_S = problem.temperatures.data();
  CHECK_FALSE(problem.kernel(problem.state) == quiet);
  problem.check();
}

TEST_CASE("NaN is the lowest confidence, and rows that are not active stay as they are") {
  for (const RemaskRule rule : kRules) {
    Problem problem(3, 33, 4, rule);
    for (size_t i = 0; i < problem.confidence.size(); i += 2)
      problem.confidence[i] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<uint8_t> active = {1, 0, 1};
    problem.params.active_B = active.data();
    problem.check();
    CHECK(problem.kernel(problem.state).steps == std::vector<int32_t>{1, 0, 1});
  }
}

TEST_CASE("a rule without what it needs is refused") {
  for (const RemaskRule rule : {RemaskRule::kCount, RemaskRule::kMaskGit}) {
    Problem problem(1, 5, 2, rule);
    problem.params.counts_BS = nullptr;
    CHECK(remask(problem.on(problem.state), {}) == Status::kInvalid);
  }
  Problem problem(1, 5, 2, RemaskRule::kThreshold);
  problem.params.token_stride = 4;
  CHECK(remask(problem.on(problem.state), {}) == Status::kInvalid);
}
