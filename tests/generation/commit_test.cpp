// SPDX-License-Identifier: MIT
#include "mmada/generation/commit.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <numeric>

namespace mmada {
namespace {

using Indices = std::vector<int64_t>;

/// A context over `confidence`, at positions 0, 1, ...
struct Step {
  std::vector<double> confidence;
  std::vector<int64_t> positions;
  std::vector<int64_t> ids;
  CommitContext context(int64_t step, int64_t steps, int64_t unknown_at_start, int64_t slots) {
    positions.resize(confidence.size());
    std::iota(positions.begin(), positions.end(), 0);
    ids.assign(confidence.size(), 7);
    return {.positions = positions,
            .ids = ids,
            .confidence = confidence,
            .step = step,
            .steps = steps,
            .slots = slots,
            .unknown_at_start = unknown_at_start,
            .noise = {.seed = 3}};
  }
};

TEST_CASE("fixed counts spread n tokens over S steps, the remainder first") {
  const FixedCountRule rule;
  for (const auto& [n, steps] : {std::pair<int64_t, int64_t>{8, 3}, {8, 8}, {3, 8}, {10, 4}, {1, 1}}) {
    int64_t left = n, smallest = n, largest = 0;
    for (int64_t step = 0; step < steps; ++step) {
      Step state{std::vector<double>(left, 0.5), {}, {}};
      const auto count = static_cast<int64_t>(rule.commit(state.context(step, steps, n, n)).size());
      CHECK(count <= (step == 0 ? n : largest + (step == 0)));
      smallest = std::min(smallest, count);
      largest = std::max(largest, count);
      left -= count;
    }
    CHECK(left == 0);
    CHECK(largest - smallest <= 1);
  }
}

TEST_CASE("the threshold commits everything sure, and the best proposal in any case") {
  const ThresholdRule rule(0.9);
  Step sure{{0.95, 0.2, 0.9, 0.89}, {}, {}}, unsure{{0.1, 0.3, 0.2}, {}, {}};
  CHECK(rule.commit(sure.context(0, 4, 4, 4)) == Indices{0, 2});
  CHECK(rule.commit(unsure.context(0, 4, 4, 4)) == Indices{1});
}

TEST_CASE("MaskGIT remasks k = max(1, min(unknown - 1, floor(base m))) slots and none in the last step") {
  const MaskGitRule rule({.schedule = Schedule("linear"), .temperature = 0.0});
  Step state{{0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4}, {}, {}};
  CHECK(rule.commit(state.context(0, 4, 8, 8)) == Indices{0, 2});  // floor(8 * 0.75) = 6 go back
  CHECK(rule.commit(state.context(2, 4, 8, 8)) == Indices{0, 2, 4, 5, 6, 7});
  CHECK(rule.commit(state.context(3, 4, 8, 8)).size() == 8);
  Step one{{0.9}, {}, {}};
  CHECK(rule.commit(one.context(0, 4, 1, 8)).empty());
}

TEST_CASE("remask noise changes with the step and vanishes as r goes to 1") {
  const MaskGitRule rule({.schedule = Schedule("linear"), .temperature = 3.0});
  Step state{std::vector<double>(64, 0.5), {}, {}};
  CommitContext first = state.context(1, 4, 64, 64), second = first;
  second.noise.step = 1;
  CHECK(rule.commit(first) != rule.commit(second));
  CHECK(rule.commit(first) == rule.commit(first));
  CHECK(rule.temperature(3, 4) == 0.0);
}

}  // namespace
}  // namespace mmada
