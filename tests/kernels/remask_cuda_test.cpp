// SPDX-License-Identifier: MIT
#include "kernels/remask/remask.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "emulation.h"

using namespace mmada::kernels;
using emulation::Way;
using mmada::simt::Schedule;

namespace {

constexpr int32_t kMask = 126336, kUntouched = -7;
constexpr Way kWay = {Schedule::kReverse, true};

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
    const std::vector<float> normal = emulation::normals(confidence.size(), 11);
    for (size_t i = 0; i < confidence.size(); ++i) {
      proposals[i] = static_cast<int32_t>(1000 + i);
      // multiples of 1/64: ties are common
      confidence[i] = std::floor(64 / (1 + std::exp(-normal[i]))) / 64;
    }
    for (int64_t b = 0; b < batch; ++b) begins.push_back(static_cast<int32_t>(b % 9));
    for (size_t i = 0; i < counts.size(); ++i) counts[i] = static_cast<int32_t>(i * 5 % 13);
    state.tokens.assign(batch * params.token_stride, kMask);  // masks outside the region too
    for (size_t i = 0; i < state.tokens.size(); i += 5) state.tokens[i] = 3;
    state.commit_step.assign(state.tokens.size(), kUntouched);
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
  State emulated(State from, Way way = kWay) const {
    emulation::use(way);
    REQUIRE(remask_cuda(on(from), {}) == Status::kOk);
    return from;
  }
  State reference(State from) const {
    remask_ref(on(from));
    return from;
  }

  std::vector<int32_t> proposals, begins;
  std::vector<float> confidence, temperatures;
  std::vector<int32_t> counts;
  std::vector<uint32_t> streams;
  State state;
  RemaskParams params;
};

int64_t masks(const State& s) { return std::count(s.tokens.begin(), s.tokens.end(), kMask); }

}  // namespace

TEST_CASE("every commit rule gives the oracle's tokens, steps and flags, ties included") {
  for (const RemaskRule rule :
       {RemaskRule::kCount, RemaskRule::kThreshold, RemaskRule::kFactor, RemaskRule::kMaskGit})
    for (const int64_t slots : {1, 33, 97, 1025}) {
      Problem problem(3, slots, 4, rule);
      State state = problem.state;
      for (int step = 0; step < 4; ++step) {
        const State expected = problem.reference(state);
        state = problem.emulated(state);
        CHECK(state == expected);
        CHECK(state.steps == std::vector<int32_t>(3, step + 1));
      }
      CHECK(masks(state) < masks(problem.state));
      CHECK(state.done == std::vector<uint8_t>(3, 1));
    }
}

TEST_CASE("of equal candidates the lower slots are committed", "[tiny]") {
  Problem problem(1, 9, 2, RemaskRule::kCount);
  std::fill(problem.confidence.begin(), problem.confidence.end(), 0.5f);
  problem.counts[0] = 3;
  CHECK(problem.emulated(problem.state) == problem.reference(problem.state));
}

TEST_CASE("a step gives the same tokens under every schedule", "[tiny]") {
  for (const RemaskRule rule : {RemaskRule::kCount, RemaskRule::kMaskGit}) {
    const Problem problem(1, 40, 3, rule);
    const State expected = problem.reference(problem.state);
    for (const Way way : emulation::all_ways()) CHECK(problem.emulated(problem.state, way) == expected);
  }
}

TEST_CASE("remask commits exactly the k most confident, the lower slot among equals") {
  Problem problem(1, 300, 1, RemaskRule::kCount);
  problem.params.steps = 1;
  problem.counts = {17};
  problem.params.counts_BS = problem.counts.data();
  std::fill(problem.confidence.begin(), problem.confidence.end(), 0.25f);
  const State after = problem.emulated(problem.state);
  CHECK(masks(problem.state) - masks(after) == 17);
  const auto last =
      std::find_if(after.commit_step.rbegin(), after.commit_step.rend(), [](int32_t s) { return s == 0; });
  const auto end =
      after.commit_step.rend() - last;  // one past the last committed: all masks before it are gone
  CHECK(std::count(after.tokens.begin(), after.tokens.begin() + end, kMask) == 0);
}

TEST_CASE("MaskGIT's noise moves the cut and is the same in any batch") {
  Problem problem(4, 200, 5, RemaskRule::kMaskGit);
  problem.temperatures = {2.0f, 1.0f, 0.5f, 0.2f, 0.0f};
  const State plain = problem.emulated(problem.state);
  problem.params.temperatures_S = problem.temperatures.data();
  const State noisy = problem.emulated(problem.state);
  CHECK(noisy == problem.reference(problem.state));
  CHECK(noisy.tokens != plain.tokens);
  // row 2 alone: the same tokens
  Problem alone = problem;
  const auto cut = [](const auto& from, int64_t width) {
    return std::vector(from.begin() + 2 * width, from.begin() + 3 * width);
  };
  const int64_t stride = problem.params.token_stride;
  alone.params.batch = 1;
  alone.params.begins_B = problem.begins.data() + 2, alone.params.streams_B = problem.streams.data() + 2;
  alone.params.proposals_BR = problem.proposals.data() + 400,
  alone.params.confidence_BR = problem.confidence.data() + 400;
  alone.params.counts_BS = problem.counts.data() + 10;
  const State row = {cut(problem.state.tokens, stride), cut(problem.state.commit_step, stride), {0}, {0}};
  CHECK(alone.emulated(row).tokens == cut(noisy.tokens, stride));
}

TEST_CASE("inactive rows and masks outside the region stay as they are") {
  Problem problem(2, 64, 1, RemaskRule::kMaskGit);  // one step: everything is committed
  const std::vector<uint8_t> active = {0, 1};
  problem.params.active_B = active.data();
  const State after = problem.emulated(problem.state);
  const int64_t stride = problem.params.token_stride;
  CHECK(std::equal(after.tokens.begin(), after.tokens.begin() + stride, problem.state.tokens.begin()));
  CHECK(after.steps == std::vector<int32_t>{0, 1});
  CHECK(after.done == std::vector<uint8_t>{0, 1});
  CHECK(after.tokens[stride + 1 + 64 + 1] == kMask);
  CHECK(after.tokens[stride] == problem.state.tokens[stride]);
}

TEST_CASE("candidates without a confidence are committed last") {
  Problem problem(1, 8, 1, RemaskRule::kCount);
  problem.confidence = {0.5f, NAN, 0.1f, NAN, 0.9f, -INFINITY, 0.3f, 0.2f};
  problem.params.confidence_BR = problem.confidence.data();
  for (const int32_t count : {0, 3, 6, 8, 100}) {
    problem.counts[0] = count;
    CHECK(problem.emulated(problem.state) == problem.reference(problem.state));
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
