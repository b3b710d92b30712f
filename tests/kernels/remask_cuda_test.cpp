// SPDX-License-Identifier: MIT
#include "emulation.h"
#include "remask_problem.h"
#include "sparse.h"

using namespace remask_test;
using emulation::Way;
using mmada::simt::Schedule;

namespace {

Status run(const RemaskParams& p) { return emulation::finished(remask_cuda(p, {})); }

State emulated(const Problem& problem, const State& from, Way way = {Schedule::kReverse, true}) {
  emulation::use(way);
  return problem.kernel(from);
}

}  // namespace

TEST_CASE("every commit rule gives the oracle's tokens, steps and flags, ties included") {
  emulation::use({Schedule::kReverse, true});
  for (const RemaskRule rule : kRules)
    for (const int64_t slots : {1, 33, 97, 1025}) Problem(run, 3, slots, 4, rule).check();
  for (const int64_t rows : {1, 33, 97}) Problem(run, rows, 20, 2, RemaskRule::kMaskGit).check();
  if (!emulation::full()) return;
  for (const RemaskRule rule : kRules)
    for (const int64_t slots : {9, 255, 256, 257}) Problem(run, 1025, slots, 3, rule).check();
  for (const int64_t slots : {2048, 8192}) Problem(run, 2, slots, 2, RemaskRule::kMaskGit).check();
}

TEST_CASE("another seed is another number at the same address", "[tiny]") { check_key_is_read_in_place(run); }

TEST_CASE("of equal candidates the lower slots are committed", "[tiny]") {
  Problem problem(run, 1, 9, 2, RemaskRule::kCount);
  std::fill(problem.confidence.begin(), problem.confidence.end(), 0.5f);
  problem.counts[0] = 3;
  CHECK(emulated(problem, problem.state) == problem.reference(problem.state));
}

TEST_CASE("a step gives the same tokens under every schedule", "[tiny]") {
  for (const RemaskRule rule : kRules) {
    const Problem problem(run, 1, 40, 3, rule);
    const State expected = problem.reference(problem.state);
    for (const Way way : emulation::all_ways()) CHECK(emulated(problem, problem.state, way) == expected);
  }
}

TEST_CASE("remask commits exactly the k most confident, the lower slot among equals") {
  Problem problem(run, 1, 300, 1, RemaskRule::kCount);
  problem.params.steps = 1;
  problem.counts = {17};
  problem.params.counts_BS = problem.counts.data();
  std::fill(problem.confidence.begin(), problem.confidence.end(), 0.25f);
  const State after = emulated(problem, problem.state);
  CHECK(masks(problem.state) - masks(after) == 17);
  const auto last =
      std::find_if(after.commit_step.rbegin(), after.commit_step.rend(), [](int32_t s) { return s == 0; });
  const auto end =
      after.commit_step.rend() - last;  // one past the last committed: all masks before it are gone
  CHECK(std::count(after.tokens.begin(), after.tokens.begin() + end, kMask) == 0);
}

TEST_CASE("counts out of range, steps not recorded and candidates of no probability are the oracle's") {
  check_edges(run);
}

TEST_CASE("MaskGIT's noise moves the cut and is the same in any batch") {
  Problem problem(run, 4, 200, 5, RemaskRule::kMaskGit);
  problem.temperatures = {2.0f, 1.0f, 0.5f, 0.2f, 0.0f};
  const State plain = emulated(problem, problem.state);
  problem.params.temperatures_S = problem.temperatures.data();
  const State noisy = emulated(problem, problem.state);
  CHECK(noisy == problem.reference(problem.state));
  CHECK(noisy.tokens != plain.tokens);
  // row 2 alone: the same tokens
  Problem alone = problem;
  const auto cut = [](const auto& from, int64_t width) {
    return std::decay_t<decltype(from)>(from.begin() + 2 * width, from.begin() + 3 * width);
  };
  const int64_t stride = problem.params.token_stride;
  alone.params.batch = 1;
  alone.params.begins_B = problem.begins.data() + 2, alone.params.streams_B = problem.streams.data() + 2;
  alone.params.proposals_BR = problem.proposals.data() + 400,
  alone.params.confidence_BR = problem.confidence.data() + 400;
  alone.params.counts_BS = problem.counts.data() + 10;
  const State row = {cut(problem.state.tokens, stride), cut(problem.state.commit_step, stride), {0}, {0}};
  CHECK(emulated(alone, row).tokens == cut(noisy.tokens, stride));
}

TEST_CASE("inactive rows and masks outside the region stay as they are") {
  Problem problem(run, 2, 64, 1, RemaskRule::kMaskGit);  // one step: everything is committed
  const Shared<uint8_t> active = {0, 1};
  problem.params.active_B = active.data();
  const State after = emulated(problem, problem.state);
  const int64_t stride = problem.params.token_stride;
  CHECK(std::equal(after.tokens.begin(), after.tokens.begin() + stride, problem.state.tokens.begin()));
  CHECK(after.steps == Shared<int32_t>{0, 1});
  CHECK(after.done == Shared<uint8_t>{0, 1});
  CHECK(after.tokens[stride + 1 + 64 + 1] == kMask);
  CHECK(after.tokens[stride] == problem.state.tokens[stride]);
}

TEST_CASE("candidates without a confidence are committed last") {
  Problem problem(run, 1, 8, 1, RemaskRule::kCount);
  problem.confidence = {0.5f, NAN, 0.1f, NAN, 0.9f, -INFINITY, 0.3f, 0.2f};
  problem.params.confidence_BR = problem.confidence.data();
  for (const int32_t count : {0, 3, 6, 8, 100}) {
    problem.counts[0] = count;
    CHECK(emulated(problem, problem.state) == problem.reference(problem.state));
  }
}

TEST_CASE("steps without counts, rows narrower than the region and oversized regions are refused") {
  RemaskParams p;
  CHECK(remask_cuda(p, {}) == Status::kInvalid);
  p.slots = p.token_stride = 10, p.steps = 1;
  CHECK(remask_cuda(p, {}) == Status::kInvalid);
  p.rule = RemaskRule::kThreshold;
  CHECK(remask_cuda(p, {}) == Status::kOk);
  p.slots = 11;
  CHECK(remask_cuda(p, {}) == Status::kInvalid);
  p.slots = p.token_stride = 8193;
  CHECK(remask_cuda(p, {}) == Status::kUnsupported);
}

TEST_CASE("rows of tokens beyond 2^31 are filled in place") {
  if (emulation::on_device()) return;
  constexpr int64_t kStride = emulation::kBeyond + 5;
  const Problem problem(run, 2, 33, 2, RemaskRule::kCount);
  const State expected = problem.reference(problem.state);
  const int64_t width = problem.params.token_stride;
  emulation::Sparse<int32_t> tokens(kStride + width), commit_step(kStride + width);
  State near = problem.state;
  for (const int64_t row : {0, 1}) {
    std::copy_n(near.tokens.data() + row * width, width, tokens.data() + row * kStride);
    std::fill_n(commit_step.data() + row * kStride, width, kUntouched);
  }
  RemaskParams p = problem.on(near);
  p.tokens_BT = tokens.data(), p.commit_step_BT = commit_step.data(), p.token_stride = kStride;
  REQUIRE(run(p) == Status::kOk);
  for (const int64_t row : {0, 1}) {
    CHECK(std::equal(tokens.data() + row * kStride, tokens.data() + row * kStride + width,
                     expected.tokens.data() + row * width));
    CHECK(std::equal(commit_step.data() + row * kStride, commit_step.data() + row * kStride + width,
                     expected.commit_step.data() + row * width));
  }
}
