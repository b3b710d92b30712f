// SPDX-License-Identifier: MIT
#include "adamw_8bit_problem.h"
#include "emulation.h"

using namespace mmada::kernels;
using namespace emulation;

TEST_CASE("the CUDA kernel takes the oracle's steps with 8-bit moments", "[tiny]") {
  use({mmada::simt::Schedule::kReverse, true});
  std::vector<int64_t> counts = {257, 1, 256, 1025};
  if (mmada::simt::thread_sanitizer()) counts.resize(1);
  for (const int64_t count : counts) {
    Adamw8bitProblem problem(count);
    for (int step = 0; step < (mmada::simt::thread_sanitizer() ? 2 : 6); ++step) {
      problem.next();
      check_step(problem, [](const Adamw8bitParams& p) { return finished(adamw_8bit_cuda(p, {})); });
    }
  }
}

TEST_CASE("no schedule changes a bit of a step with 8-bit moments") {
  Adamw8bitProblem expected(700);
  expected.next();
  const Adamw8bitProblem start = expected;
  use(all_ways().front());
  REQUIRE(finished(adamw_8bit_cuda(expected.params(), {})) == Status::kOk);
  for (const Way way : all_ways()) {
    Adamw8bitProblem problem = start;
    use(way);
    REQUIRE(finished(adamw_8bit_cuda(problem.params(), {})) == Status::kOk);
    CHECK(problem == expected);
  }
}

TEST_CASE("one launch takes more moment blocks than it has blocks of threads") {
  if (mmada::simt::thread_sanitizer() || !full()) return;
  Adamw8bitProblem problem(2200 * kMomentBlock + 5);
  problem.next();
  use({mmada::simt::Schedule::kGreedy, true});
  check_step(problem, [](const Adamw8bitParams& p) { return finished(adamw_8bit_cuda(p, {})); });
}
