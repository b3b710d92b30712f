// SPDX-License-Identifier: MIT
#include "kernels/conv3x3/conv3x3.h"

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <thread>

#include "kernels/conv3x3/winograd.h"
#include "mmada/core/rng.h"

using namespace mmada::kernels;
using winograd::Steps;

namespace {

struct Sizes {
  int64_t batch, height, width, in, out;
};

constexpr float kGuard = 77.0f;
constexpr double kUnit = 0x1p-24;  // half the distance between 1 and the next fp32

/// Operands of one call, with room behind y that must stay untouched.
struct Problem {
  explicit Problem(Sizes s)
      : x(static_cast<size_t>(s.batch * s.height * s.width * s.in)),
        weight(static_cast<size_t>(s.out * s.in * 9)),
        bias(static_cast<size_t>(s.out)),
        y(static_cast<size_t>(s.batch * s.height * s.width * s.out) + 1) {
    mmada::Rng rng(5, "conv3x3_test");
    for (auto* values : {&x, &weight, &bias, &y})
      for (float& v : *values) v = static_cast<float>(rng.normal());
    y.back() = kGuard;
    params = {.x = x.data(),
              .weight_OCKK = weight.data(),
              .bias_O = bias.data(),
              .y = y.data(),
              .batch = s.batch,
              .height = s.height,
              .width = s.width,
              .in_channels = s.in,
              .out_channels = s.out};
  }
  /// A workspace of NaN, so that reading what nobody wrote shows.
  Context context(int64_t threads = 1) {
    workspace.assign(conv3x3_workspace_size(params, threads) / sizeof(float),
                     std::numeric_limits<float>::quiet_NaN());
    Context context;
    context.workspace = workspace.data();
    context.workspace_bytes = workspace.size() * sizeof(float);
    return context;
  }

  std::vector<float> x, weight, bias, y, workspace;
  Conv3x3Params params;
};

std::vector<float> reference(const Problem& problem) {
  std::vector<float> expected = problem.y;
  Conv3x3Params params = problem.params;
  params.y = expected.data();
  conv3x3_ref(params);
  return expected;
}

// ---- the a-priori bound

using Matrix = std::vector<std::vector<double>>;

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c(a.size(), std::vector<double>(b[0].size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < b[0].size(); ++j)
      for (size_t k = 0; k < b.size(); ++k) c[i][j] += a[i][k] * b[k][j];
  return c;
}
Matrix transposed(const Matrix& a) {
  Matrix t(a[0].size(), std::vector<double>(a.size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < a[0].size(); ++j) t[j][i] = a[i][j];
  return t;
}

/// The matrices' absolute values, for the points 0, +-a, +-b and infinity.
constexpr double a = winograd::kA, b = winograd::kB, aa = a * a, bb = b * b;
const Matrix kInput = {{aa * bb, 0, aa + bb, 0, 1, 0}, {0, a* bb, bb, a, 1, 0},
                       {0, a* bb, bb, a, 1, 0},        {0, aa* b, aa, b, 1, 0},
                       {0, aa* b, aa, b, 1, 0},        {0, aa* bb, 0, aa + bb, 0, 1}};
Matrix weight_matrix() {
  Matrix g = {{1 / (aa * bb), 0, 0}};
  for (const double p : {a, a, b, b}) {
    const double distances = 2 * p * p * (bb - aa);
    g.push_back({1 / distances, p / distances, p * p / distances});
  }
  g.push_back({0, 0, 1});
  return g;
}
const Matrix kWeight = weight_matrix();
const Matrix kOutput = {
    {1, 1, 1, 1, 1, 0}, {0, a, a, b, b, 0}, {0, aa, aa, bb, bb, 0}, {0, a* aa, a* aa, b* bb, b* bb, 1}};

/// |A^T| (sum over c of |G||w||G^T| * |B^T||x||B|) |A| at one output pixel: what rounding errors are in
/// proportion to.
double magnitude(const Problem& problem, int64_t n, int64_t i, int64_t j, int64_t o) {
  const Conv3x3Params& p = problem.params;
  const int64_t row = i / 4 * 4, column = j / 4 * 4;
  Matrix sum(6, std::vector<double>(6));
  for (int64_t c = 0; c < p.in_channels; ++c) {
    Matrix d(6, std::vector<double>(6)), w(3, std::vector<double>(3));
    for (int64_t u = 0; u < 6; ++u)
      for (int64_t v = 0; v < 6; ++v) {
        const int64_t y = row + u - 1, x = column + v - 1;
        if (y >= 0 && y < p.height && x >= 0 && x < p.width)
          d[u][v] = std::abs(p.x[((n * p.height + y) * p.width + x) * p.in_channels + c]);
      }
    for (int64_t k = 0; k < 9; ++k)
      w[k / 3][k % 3] = std::abs(p.weight_OCKK[(o * p.in_channels + c) * 9 + k]);
    const Matrix points_d = product(product(kInput, d), transposed(kInput));
    const Matrix points_w = product(product(kWeight, w), transposed(kWeight));
    for (int u = 0; u < 6; ++u)
      for (int v = 0; v < 6; ++v) sum[u][v] += points_d[u][v] * points_w[u][v];
  }
  return product(product(kOutput, sum), transposed(kOutput))[i - row][j - column] + std::abs(p.bias_O[o]);
}

std::vector<const Steps*> supported_steps() {
  std::vector<const Steps*> found;
  for (const Steps& steps : winograd::all_steps())
    if (steps.is_supported()) found.push_back(&steps);
  return found;
}

double root_mean_square(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

}  // namespace

TEST_CASE("the 3x3 convolution is within its rounding bound of the plain loops on hostile shapes") {
  for (const Steps* steps : supported_steps())
    for (const Sizes sizes : {Sizes{1, 1, 1, 16, 16},
                              {2, 5, 7, 32, 16},
                              {1, 4, 4, 16, 48},
                              {1, 3, 97, 16, 32},
                              {1, 33, 9, 48, 16},
                              {3, 8, 8, 32, 64}}) {
      INFO(steps->name << ": " << sizes.batch << " " << sizes.height << " " << sizes.width << " " << sizes.in
                       << " " << sizes.out);
      Problem problem(sizes);
      const std::vector<float> expected = reference(problem);
      REQUIRE(conv3x3_with(*steps, problem.params, problem.context()) == Status::kOk);
      CHECK(problem.y.back() == kGuard);
      // every value passes through at most this many roundings: of each transform twice (5 for the inputs, 3
      // for the weights, 4 for the outputs), of the sum over channels, of the bias, of the reference
      const double roundings = 2 * (5 + 3 + 4) + static_cast<double>(sizes.in) + 2;
      double worst = 0;
      size_t index = 0;
      for (int64_t n = 0; n < sizes.batch; ++n)
        for (int64_t i = 0; i < sizes.height; ++i)
          for (int64_t j = 0; j < sizes.width; ++j)
            for (int64_t o = 0; o < sizes.out; ++o, ++index)
              if (index % 7 == 0 || index < 1000) {
                const double bound = roundings * kUnit * magnitude(problem, n, i, j, o);
                worst = std::max(worst,
                                 std::abs(static_cast<double>(problem.y[index]) - expected[index]) / bound);
              }
      CHECK(worst <= 1);
    }
}

TEST_CASE("the 3x3 convolution rounds less than twice as badly as a plain sum in fp32") {
  Problem problem({1, 16, 16, 128, 16});
  const std::vector<float> expected = reference(problem);
  const Conv3x3Params& p = problem.params;
  std::vector<double> plain_error;
  for (int64_t i = 1; i < 15; ++i)
    for (int64_t j = 1; j < 15; ++j)
      for (int64_t o = 0; o < 16; ++o) {
        float sum = p.bias_O[o];
        for (int64_t c = 0; c < p.in_channels; ++c)
          for (int64_t k = 0; k < 9; ++k)
            sum += p.x[((i + k / 3 - 1) * p.width + j + k % 3 - 1) * p.in_channels + c] *
                   p.weight_OCKK[(o * p.in_channels + c) * 9 + k];
        plain_error.push_back(static_cast<double>(sum) - expected[(i * p.width + j) * 16 + o]);
      }
  for (const Steps* steps : supported_steps()) {
    INFO(steps->name);
    REQUIRE(conv3x3_with(*steps, problem.params, problem.context()) == Status::kOk);
    std::vector<double> error;
    for (size_t i = 0; i < expected.size() - 1; ++i)
      error.push_back(static_cast<double>(problem.y[i]) - expected[i]);
    INFO(root_mean_square(error) << " against " << root_mean_square(plain_error));
    CHECK(root_mean_square(error) < 2 * root_mean_square(plain_error));
  }
}

TEST_CASE("the 3x3 convolution adds to what is there where it is asked to") {
  for (const Sizes sizes : {Sizes{1, 10, 40, 32, 16}, {1, 6, 6, 16, 64}}) {
    Problem problem(sizes);
    problem.params.add = true;
    const std::vector<float> expected = reference(problem);
    REQUIRE(conv3x3(problem.params, problem.context()) == Status::kOk);
    for (size_t i = 0; i < expected.size(); ++i) REQUIRE(problem.y[i] == Approx(expected[i]).margin(1e-4));
  }
}

TEST_CASE("neither threads nor their share of the workspace change a bit of the 3x3 convolution") {
  for (const Sizes sizes : {Sizes{2, 40, 40, 32, 48}, {1, 12, 12, 32, 96}})
    for (const int64_t slots : {1, 3}) {
      Problem alone(sizes), threaded(sizes);
      REQUIRE(conv3x3(alone.params, alone.context()) == Status::kOk);
      Context context = threaded.context(slots);
      context.parallel_for = [](int64_t chunks, const std::function<void(int64_t)>& body) {
        std::vector<std::thread> threads;
        for (int64_t chunk = chunks; chunk-- > 0;) threads.emplace_back(body, chunk);
        for (std::thread& thread : threads) thread.join();
      };
      REQUIRE(conv3x3(threaded.params, context) == Status::kOk);
      CHECK(alone.y == threaded.y);
    }
}

TEST_CASE("the 3x3 convolution refuses what it cannot do, and does nothing to nothing") {
  Problem problem({1, 9, 9, 16, 32});
  Context context = problem.context();
  context.workspace_bytes -= 1;
  CHECK(conv3x3(problem.params, context) == Status::kWorkspaceTooSmall);
  Conv3x3Params params = problem.params;
  params.in_channels = 24;
  CHECK(conv3x3(params, problem.context()) == Status::kUnsupported);
  params.in_channels = 0;
  CHECK(conv3x3(params, problem.context()) == Status::kInvalid);
  Problem empty({0, 9, 9, 16, 32});
  CHECK(conv3x3(empty.params, empty.context()) == Status::kOk);
  CHECK(empty.y.back() == kGuard);
}
