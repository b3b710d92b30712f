// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/remask/remask.h"
#include "normals.h"
#include "platform.h"

/// Rows of tokens with masks in and around a region, proposals for it, and what a step makes of them.
namespace remask_test {

using namespace mmada::kernels;
using emulation::Shared;

constexpr int32_t kMask = 126336, kUntouched = -7;
constexpr RemaskRule kRules[] = {RemaskRule::kCount, RemaskRule::kThreshold, RemaskRule::kFactor,
                                 RemaskRule::kMaskGit};

/// What a step changes.
struct State {
  Shared<int32_t> tokens, commit_step, steps;
  Shared<uint8_t> done;
  bool operator==(const State&) const = default;
};

inline int64_t masks(const State& s) { return std::count(s.tokens.begin(), s.tokens.end(), kMask); }

struct Problem {
  using Kernel = Status (*)(const RemaskParams&);

  Problem(Kernel run, int64_t batch, int64_t slots, int64_t steps, RemaskRule rule)
      : run_(run), proposals(batch * slots), confidence(batch * slots), counts(batch * steps) {
    params.rule = rule, params.mask_id = kMask, params.batch = batch, params.slots = slots,
    params.steps = steps;
    params.token_stride = slots + 9, params.noise_key = noise_key.data(),
    params.threshold = 0.625f;  // some are just as confident
    const std::vector<float> normal = emulation::normals(confidence.size(), 11);
    for (size_t i = 0; i < confidence.size(); ++i) {
      proposals[i] = static_cast<int32_t>(1000 + i);
      // multiples of 1/64: ties are common
      confidence[i] = std::floor(64 / (1 + std::exp(-normal[i]))) / 64;
    }
    for (int64_t b = 0; b < batch; ++b) {
      begins.push_back(static_cast<int32_t>(b % 9));
      streams.push_back(static_cast<uint32_t>(5 + b));
    }
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
  State kernel(State from) const {
    REQUIRE(run_(on(from)) == Status::kOk);
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
      if (params.active_B == nullptr)
        CHECK(got.steps == Shared<int32_t>(params.batch, static_cast<int32_t>(step + 1)));
    }
    CHECK(masks(got) < masks(state));
  }

 private:
  Kernel run_;

 public:
  Shared<int32_t> proposals, begins;
  Shared<float> confidence, temperatures;
  Shared<int32_t> counts;
  Shared<uint32_t> streams;
  Shared<uint64_t> noise_key = {4711};
  State state;
  RemaskParams params;
};

/// Claims at the edges of what a step may be asked for, of any kernel.
inline void check_edges(Problem::Kernel run) {
  Problem counted(run, 1, 40, 1, RemaskRule::kCount);
  for (const int32_t count : {-1, 0, 40, 1000}) {
    counted.counts[0] = count;
    CHECK(counted.kernel(counted.state) == counted.reference(counted.state));
  }
  Problem complete(run, 1, 40, 2,
                   RemaskRule::kCount);  // nothing left to commit: done before the steps are over
  std::fill(complete.state.tokens.begin(), complete.state.tokens.end(), 3);
  complete.counts[0] = -1;
  const State done = complete.kernel(complete.state);
  CHECK(done.done[0] == 1);
  CHECK(done.tokens == complete.state.tokens);

  RemaskParams unrecorded = counted.on(counted.state);
  unrecorded.commit_step_BT = nullptr;
  const State expected = counted.reference(counted.state);
  CHECK(run(unrecorded) == Status::kOk);
  CHECK(counted.state.tokens == expected.tokens);

  Problem hopeless(run, 2, 97, 3, RemaskRule::kMaskGit);  // probability 0: the noise alone decides
  std::fill(hopeless.confidence.begin(), hopeless.confidence.end(), 0.0f);
  hopeless.temperatures = {1.0f, 1.0f, 1.0f};
  hopeless.params.temperatures_S = hopeless.temperatures.data();
  hopeless.check();
}

/// The same arguments draw other noise once the number at the key's address changes, and the same as ever
/// once it is back: what a replayed CUDA graph relies on.
inline void check_key_is_read_in_place(Problem::Kernel run) {
  Problem problem(run, 3, 97, 4, RemaskRule::kMaskGit);
  problem.temperatures = {3.0f, 2.0f, 1.0f, 0.5f};
  problem.params.temperatures_S = problem.temperatures.data();
  const State first = problem.kernel(problem.state);
  for (const uint64_t changed : {uint64_t{4712}, 4711 + (uint64_t{1} << 40)}) {
    problem.noise_key[0] = changed;
    const State other = problem.kernel(problem.state);
    CHECK_FALSE(other == first);
    CHECK(other == problem.reference(problem.state));
  }
  problem.noise_key[0] = 4711;
  CHECK(problem.kernel(problem.state) == first);
  problem.params.noise_key = nullptr;
  CHECK(run(problem.on(problem.state)) == Status::kInvalid);
}

}  // namespace remask_test
