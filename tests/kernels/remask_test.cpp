// SPDX-License-Identifier: MIT
#include "remask_problem.h"

using namespace remask_test;

namespace {

Status run(const RemaskParams& p) { return remask(p, {}); }

}  // namespace

TEST_CASE("every commit rule gives the oracle's tokens, steps and flags, ties included") {
  for (const RemaskRule rule : kRules)
    for (const int64_t slots : {1, 33, 97, 1025}) Problem(run, 3, slots, 4, rule).check();
}

TEST_CASE("counts out of range, steps not recorded and candidates of no probability are the oracle's") {
  check_edges(run);
}

TEST_CASE("MaskGIT's noise changes what is committed and is the oracle's") {
  Problem problem(run, 3, 97, 4, RemaskRule::kMaskGit);
  const State quiet = problem.kernel(problem.state);
  problem.temperatures = {3.0f, 2.0f, 1.0f, 0.5f};
  problem.params.temperatures_S = problem.temperatures.data();
  CHECK_FALSE(problem.kernel(problem.state) == quiet);
  problem.check();
}

TEST_CASE("another seed is another number at the same address") { check_key_is_read_in_place(run); }

TEST_CASE("NaN is the lowest confidence, and rows that are not active stay as they are") {
  for (const RemaskRule rule : kRules) {
    Problem problem(run, 3, 33, 4, rule);
    for (size_t i = 0; i < problem.confidence.size(); i += 2) problem.confidence[i] = NAN;
    const Shared<uint8_t> active = {1, 0, 1};
    problem.params.active_B = active.data();
    problem.check();
    CHECK(problem.kernel(problem.state).steps == Shared<int32_t>{1, 0, 1});
  }
}

TEST_CASE("a rule without what it needs is refused") {
  for (const RemaskRule rule : {RemaskRule::kCount, RemaskRule::kMaskGit}) {
    Problem problem(run, 1, 5, 2, rule);
    problem.params.counts_BS = nullptr;
    CHECK(remask(problem.on(problem.state), {}) == Status::kInvalid);
  }
  Problem problem(run, 1, 5, 2, RemaskRule::kThreshold);
  problem.params.token_stride = 4;
  CHECK(remask(problem.on(problem.state), {}) == Status::kInvalid);
}
