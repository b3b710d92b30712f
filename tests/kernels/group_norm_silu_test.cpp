// SPDX-License-Identifier: MIT
#include "kernels/group_norm_silu/group_norm_silu.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <thread>

#include "kernels/common/math.h"
#include "mmada/core/rng.h"

using namespace mmada::kernels;

namespace {

struct Sizes {
  int64_t batch, positions, channels, groups;
};

/// Operands of one call, with room behind every buffer that must stay untouched.
struct Problem {
  explicit Problem(Sizes s, float offset = 0)
      : x(static_cast<size_t>(s.batch * s.positions * s.channels)), weight(s.channels), bias(s.channels) {
    mmada::Rng rng(3, "group_norm_silu_test");
    for (float& v : x) v = static_cast<float>(rng.normal()) + offset;
    for (float& v : weight) v = static_cast<float>(rng.normal());
    for (float& v : bias) v = static_cast<float>(rng.normal());
    y.assign(x.size() + 1, 77.0f);
    params = {.x = x.data(),
              .y = y.data(),
              .weight_C = weight.data(),
              .bias_C = bias.data(),
              .type = FloatType::kF32,
              .batch = s.batch,
              .positions = s.positions,
              .channels = s.channels,
              .groups = s.groups,
              .eps = 1e-6f};
  }
  Context context() {
    workspace.resize(group_norm_silu_workspace_size(params));
    Context context;
    context.workspace = workspace.data();
    context.workspace_bytes = workspace.size();
    return context;
  }

  std::vector<float> x, y, weight, bias;
  std::vector<char> workspace;
  GroupNormSiluParams params;
};

double largest_error(const std::vector<float>& found, const std::vector<float>& expected) {
  double error = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    error =
        std::max(error, std::abs(static_cast<double>(found[i]) - expected[i]) / (1 + std::abs(expected[i])));
  return error;
}

std::vector<float> reference(Problem& problem) {
  std::vector<float> expected(problem.x.size());
  GroupNormSiluParams params = problem.params;
  params.y = expected.data();
  group_norm_silu_ref(params);
  return expected;
}

}  // namespace

TEST_CASE("the vector exponential is within two units in the last place") {
  for (float x = -87.0f; x < 88.0f; x += 0.0137f)
    CHECK(std::abs(vector_exp(x) / std::exp(static_cast<double>(x)) - 1) < 2.4e-7);
  CHECK(silu(-200.0f) == Approx(0).margin(1e-30));
  CHECK(silu(200.0f) == 200.0f);
  CHECK(std::isnan(vector_exp(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("group norm with silu equals the plain loops on hostile shapes") {
  for (const Sizes sizes : {Sizes{1, 1, 32, 32},
                            {2, 33, 64, 32},
                            {1, 97, 96, 32},
                            {3, 1025, 16, 8},
                            {2, 4097, 24, 3},
                            {1, 5, 8192, 32},
                            {1, 70000, 4, 1}}) {
    Problem problem(sizes);
    REQUIRE(group_norm_silu(problem.params, problem.context()) == Status::kOk);
    CHECK(largest_error(problem.y, reference(problem)) < 3e-6);
    CHECK(problem.y.back() == 77.0f);
  }
}

TEST_CASE("a large common offset costs group norm no precision") {
  Problem problem({1, 2048, 64, 32}, 1000.0f);
  REQUIRE(group_norm_silu(problem.params, problem.context()) == Status::kOk);
  CHECK(largest_error(problem.y, reference(problem)) < 5e-4);  // x itself is rounded to 6e-5
}

TEST_CASE("group norm with silu works in place and on nothing") {
  Problem problem({2, 300, 64, 32});
  const std::vector<float> expected = reference(problem);
  problem.params.y = problem.x.data();
  REQUIRE(group_norm_silu(problem.params, problem.context()) == Status::kOk);
  CHECK(largest_error(problem.x, expected) < 3e-6);
  Problem empty({0, 10, 32, 32});
  CHECK(group_norm_silu(empty.params, empty.context()) == Status::kOk);
}

TEST_CASE("the number of threads does not change a bit of group norm") {
  Problem alone({2, 3000, 64, 32}), threaded({2, 3000, 64, 32});
  REQUIRE(group_norm_silu(alone.params, alone.context()) == Status::kOk);
  Context context = threaded.context();
  context.parallel_for = [](int64_t chunks, const std::function<void(int64_t)>& body) {
    std::vector<std::thread> threads;
    for (int64_t chunk = chunks; chunk-- > 0;) threads.emplace_back(body, chunk);
    for (std::thread& thread : threads) thread.join();
  };
  REQUIRE(group_norm_silu(threaded.params, context) == Status::kOk);
  CHECK(alone.y == threaded.y);
}

TEST_CASE("bf16 group norm is the fp32 one, rounded once") {
  Problem wide({1, 400, 64, 32});
  std::vector<BFloat16> x(wide.x.size()), y(wide.x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    from_float(wide.x[i], x[i]);
    wide.x[i] = to_float(x[i]);
  }
  const std::vector<float> expected = reference(wide);
  wide.params.x = x.data();
  wide.params.y = y.data();
  wide.params.type = FloatType::kBF16;
  REQUIRE(group_norm_silu(wide.params, wide.context()) == Status::kOk);
  double error = 0;
  for (size_t i = 0; i < y.size(); ++i)
    error = std::max<double>(error, std::abs(to_float(y[i]) - expected[i]) / (1e-3 + std::abs(expected[i])));
  CHECK(error < 1.0 / 250);
}

TEST_CASE("group norm refuses what it cannot do") {
  Problem problem({1, 10, 64, 32});
  Context context = problem.context();
  context.workspace_bytes -= 1;
  CHECK(group_norm_silu(problem.params, context) == Status::kWorkspaceTooSmall);
  problem.params.groups = 48;
  CHECK(group_norm_silu(problem.params, problem.context()) == Status::kInvalid);
  problem.params.groups = 32;
  problem.params.type = FloatType::kF16;
  CHECK(group_norm_silu(problem.params, problem.context()) == Status::kUnsupported);
}
