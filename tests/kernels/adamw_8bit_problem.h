// SPDX-License-Identifier: MIT
#pragma once

#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/adamw_8bit/adamw_8bit.h"
#include "normals.h"
#include "platform.h"

namespace emulation {

/// Weights in training and their 8-bit moments, and what the oracle makes of the same step.
struct Adamw8bitProblem {
  explicit Adamw8bitProblem(int64_t count)
      : weight(normals<Shared<float>>(count, 1)),
        grad(count),
        average(count),
        root(count),
        average_scale((count + 255) / 256),
        root_scale(average_scale.size()) {}

  mmada::kernels::Adamw8bitParams params() {
    return {.weight = weight.data(),
            .grad = grad.data(),
            .exp_avg = average.data(),
            .exp_avg_root = root.data(),
            .exp_avg_scale = average_scale.data(),
            .exp_avg_root_scale = root_scale.data(),
            .count = static_cast<int64_t>(weight.size()),
            .learning_rate = 0.01,
            .beta1 = 0.9,
            .beta2 = 0.99,
            .epsilon = 1e-8,
            .weight_decay = 0.1,
            .step = step};
  }
  /// Gradients of very different sizes, some of them 0; the next step.
  void next() {
    ++step;
    const std::vector<float> values = normals(weight.size(), 10 + static_cast<uint32_t>(step));
    for (size_t i = 0; i < values.size(); ++i)
      grad[i] = i % 7 == 3 ? 0.0f : values[i] * std::pow(10.0f, -static_cast<float>(i % 9));
  }
  bool operator==(const Adamw8bitProblem& other) const {
    return weight == other.weight && average == other.average && root == other.root &&
           average_scale == other.average_scale && root_scale == other.root_scale;
  }

  Shared<float> weight, grad;
  Shared<uint8_t> average, root;
  Shared<float> average_scale, root_scale;
  int64_t step = 0;
};

/// Codes differ by one at most, and by that only where fp32 cannot tell which level is nearer.
inline int64_t different_codes(const Shared<uint8_t>& found, const Shared<uint8_t>& expected) {
  int64_t differing = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    CHECK(std::abs(found[i] - expected[i]) <= 1);
    differing += found[i] != expected[i];
  }
  return differing;
}

/// `run` makes the step that the oracle makes from the same state.
template <class Run>
void check_step(Adamw8bitProblem& problem, const Run& run) {
  Adamw8bitProblem expected = problem;
  mmada::kernels::adamw_8bit_ref(expected.params());
  REQUIRE(run(problem.params()) == mmada::kernels::Status::kOk);
  bool right = true;
  for (size_t i = 0; i < problem.weight.size(); ++i)
    right = right &&
            std::abs(problem.weight[i] - expected.weight[i]) <= 4e-7f * (1 + std::abs(expected.weight[i]));
  CHECK(right);
  for (size_t b = 0; b < problem.average_scale.size(); ++b) {
    CHECK(problem.average_scale[b] == Approx(expected.average_scale[b]).epsilon(1e-6));
    CHECK(problem.root_scale[b] == Approx(expected.root_scale[b]).epsilon(1e-6));
  }
  const auto allowed = static_cast<int64_t>(problem.weight.size() / 500 + 1);
  CHECK(different_codes(problem.average, expected.average) <= allowed);
  CHECK(different_codes(problem.root, expected.root) <= allowed);
}

}  // namespace emulation
