// SPDX-License-Identifier: MIT
#include "kernels/adamw_8bit/adamw_8bit.h"

#include <algorithm>
#include <thread>

#include "adamw_8bit_problem.h"

using namespace mmada::kernels;
using emulation::Adamw8bitProblem;

namespace {

Status run(const Adamw8bitParams& params) { return adamw_8bit(params, {}); }

/// One thread per chunk, the last chunk first.
Status in_threads(const Adamw8bitParams& params) {
  return adamw_8bit(params, {.parallel_for = [](int64_t chunks, const std::function<void(int64_t)>& body) {
                      std::vector<std::thread> threads;
                      for (int64_t chunk = chunks; chunk-- > 0;) threads.emplace_back(body, chunk);
                      for (std::thread& thread : threads) thread.join();
                    }});
}

template <int kBits>
void check_levels() {
  using Levels = MomentLevels<kBits>;
  std::vector<float> midpoints;
  for (unsigned code = 0; code < Levels::kCount; ++code) midpoints.push_back(Levels::midpoint(code));
  CHECK(Levels::level(0) == 0.0f);
  CHECK(Levels::level(1) == Approx(5.5 * std::pow(10.0, -kBits)));
  CHECK(Levels::level(Levels::kCount - 1) == 1.0f);
  bool ascending = true, nearest = true, own = true;
  for (unsigned code = 1; code < Levels::kCount; ++code) {
    const float low = Levels::level(code - 1), high = Levels::level(code);
    ascending = ascending && low < high;
    own = own && Levels::nearest(high, midpoints.data()) == code;
    nearest = nearest && Levels::nearest(low + 0.499f * (high - low), midpoints.data()) == code - 1 &&
              Levels::nearest(low + 0.501f * (high - low), midpoints.data()) == code;
  }
  CHECK(ascending);
  CHECK(own);
  CHECK(nearest);
}

}  // namespace

TEST_CASE("moments' levels ascend from 0 to 1 over a decade for each bit, and the nearest is found") {
  check_levels<7>();
  check_levels<8>();
}

TEST_CASE("AdamW with 8-bit moments takes the oracle's steps, at awkward sizes") {
  for (const int64_t count : {0, 1, 33, 255, 256, 257, 1025}) {
    Adamw8bitProblem problem(count);
    for (int step = 0; step < 12; ++step) {
      problem.next();
      check_step(problem, run);
    }
  }
}

TEST_CASE("threads, and pieces cut where blocks begin, change no bit of a step") {
  constexpr int64_t kCount = 40000, kCut = 77 * kMomentBlock;
  Adamw8bitProblem whole(kCount), threaded(kCount), pieces(kCount);
  for (int step = 0; step < 3; ++step) {
    for (Adamw8bitProblem* problem : {&whole, &threaded, &pieces}) problem->next();
    REQUIRE(run(whole.params()) == Status::kOk);
    REQUIRE(in_threads(threaded.params()) == Status::kOk);
    Adamw8bitParams first = pieces.params(), second = first;
    first.count = kCut, second.count -= kCut;
    second.weight += kCut, second.grad += kCut, second.exp_avg += kCut, second.exp_avg_root += kCut;
    second.exp_avg_scale += 77, second.exp_avg_root_scale += 77;
    REQUIRE(run(second) == Status::kOk);
    REQUIRE(run(first) == Status::kOk);
    CHECK(threaded == whole);
    CHECK(pieces == whole);
  }
}

TEST_CASE("a gradient far below its block's largest moves its weight no further than plain AdamW would") {
  Adamw8bitProblem problem(256);
  problem.step = 1;
  std::ranges::fill(problem.grad, 1e-9f);
  problem.grad[0] = 1.0f;
  Adamw8bitParams params = problem.params();
  params.weight_decay = 0, params.epsilon = 1e-15;
  for (; params.step < 30; ++params.step) {
    const std::vector<float> before = emulation::host(problem.weight);
    REQUIRE(run(params) == Status::kOk);
    CHECK(problem.root[1] > 0);
    for (size_t i = 0; i < before.size(); ++i)
      CHECK(std::abs(problem.weight[i] - before[i]) <= 1.1 * params.learning_rate);
  }
}

TEST_CASE("sizes below 0 and steps below 1 are refused") {
  Adamw8bitProblem problem(3);
  CHECK(run(problem.params()) == Status::kInvalid);  // its step is 0
  problem.next();
  Adamw8bitParams params = problem.params();
  params.count = -1;
  CHECK(run(params) == Status::kInvalid);
}
