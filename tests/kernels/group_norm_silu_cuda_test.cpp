// SPDX-License-Identifier: MIT
#include <catch2/catch.hpp>
#include <cmath>

#include "emulation.h"
#include "kernels/group_norm_silu/group_norm_silu.h"
#include "operand.h"
#include "sparse.h"

using namespace mmada::kernels;
using emulation::Shared;

namespace {

struct Problem {
  Problem(int64_t batch, int64_t positions, int64_t channels, int64_t groups, float offset = 0)
      : x(emulation::normals<Shared<float>>(static_cast<size_t>(batch * positions * channels) + 1, 3)),
        weight(emulation::normals<Shared<float>>(channels, 4)),
        bias(emulation::normals<Shared<float>>(channels, 5)),
        y(x.size() + 1, 77.0f) {
    for (float& v : x) v += offset;
    params = {.x = x.data(),
              .y = y.data(),
              .weight_C = weight.data(),
              .bias_C = bias.data(),
              .batch = batch,
              .positions = positions,
              .channels = channels,
              .groups = groups,
              .eps = 1e-6f};
  }
  std::vector<float> reference() const {
    std::vector<float> expected(y.size(), 77.0f);
    GroupNormSiluParams p = params;
    p.y = expected.data() + (static_cast<float*>(params.y) - y.data());
    group_norm_silu_ref(p);
    return expected;
  }
  std::vector<float> emulated(emulation::Way way) {
    emulation::use(way);
    y.assign(y.size(), 77.0f);
    workspace.assign(group_norm_silu_workspace_size(params) / sizeof(double) + 1, std::nan(""));
    Context context;
    context.workspace = workspace.data();
    context.workspace_bytes = workspace.size() * sizeof(double);
    REQUIRE(emulation::finished(group_norm_silu_cuda(params, context)) == Status::kOk);
    return emulation::host(y);
  }

  Shared<float> x, weight, bias, y;
  Shared<double> workspace;
  GroupNormSiluParams params;
};

/// Largest |a - b| / (1 + |b|).
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]) / (1.0 + std::abs(b[i]));
    worst = d <= worst ? worst : d;  // NaN stays
  }
  return worst;
}

constexpr double kTolerance = 4e-6;  // vector_exp and the affine: a few fp32 roundings

}  // namespace

TEST_CASE("the CUDA group norm is the oracle's at odd sizes, the same bits under every schedule", "[tiny]") {
  struct Sizes {
    int64_t batch, positions, channels, groups;
  };
  std::vector<Sizes> all = {{1, 97, 6, 3}, {2, 33, 64, 32}, {1, 1, 32, 32}, {3, 7, 130, 2}};
  if (emulation::full())
    all.insert(all.end(), {{1, 1025, 128, 32}, {33, 9, 64, 32}, {2, 4097, 32, 32}, {1, 65, 512, 32}});
  if (mmada::simt::thread_sanitizer()) all.resize(1);
  for (const Sizes s : all) {
    Problem problem(s.batch, s.positions, s.channels, s.groups);
    const std::vector<float> expected = problem.reference();
    const std::vector<float> first = problem.emulated({mmada::simt::Schedule::kFair, true});
    CHECK(difference(first, expected) < kTolerance);
    for (const emulation::Way way : emulation::all_ways()) CHECK(problem.emulated(way) == first);
  }
}

TEST_CASE("the CUDA group norm handles several chunks, a wide group and a large offset") {
  const emulation::Way way = {mmada::simt::Schedule::kShuffled, true};
  Problem chunks(1, 1025, 128, 32), wide(1, 40, 1030, 2), shifted(1, 300, 64, 32, 1000.0f);
  CHECK(difference(chunks.emulated(way), chunks.reference()) < kTolerance);
  CHECK(difference(wide.emulated(way), wide.reference()) < kTolerance);
  // x itself carries 1000 / 2^24 of rounding
  CHECK(difference(shifted.emulated(way), shifted.reference()) < 1e-3);
}

TEST_CASE("misaligned pictures take the narrow path and in-place ones work") {
  const emulation::Way way = {mmada::simt::Schedule::kReverse, true};
  Problem misaligned(1, 5, 64, 32);
  misaligned.params.x = misaligned.x.data() + 1;
  misaligned.params.y = misaligned.y.data() + 1;
  CHECK(difference(misaligned.emulated(way), misaligned.reference()) < kTolerance);
  Problem in_place(1, 5, 64, 32);
  const std::vector<float> expected = in_place.reference();
  in_place.params.y = in_place.x.data();
  in_place.emulated(way);
  CHECK(difference({in_place.x.begin(), in_place.x.begin() + 320},
                   {expected.begin(), expected.begin() + 320}) < kTolerance);
}

TEST_CASE("pictures beyond 2^31 elements are normalised to their end") {
  if (emulation::on_device()) return;
  // the last of the 4096 blocks that apply the norm ends the array
  constexpr int64_t kChannels = 64, kPositions = (int64_t{1} << 25) + (int64_t{1} << 17),
                    kLast = kPositions - 1;
  static_assert(kPositions * kChannels > emulation::kBeyond);
  emulation::Sparse<__half> x(kPositions * kChannels), y(kPositions * kChannels);
  const std::vector<float> weight(kChannels, 0.5f), bias(kChannels, 0.25f);
  GroupNormSiluParams params{.x = x.data(),
                             .y = y.data(),
                             .weight_C = weight.data(),
                             .bias_C = bias.data(),
                             .batch = 1,
                             .positions = kPositions,
                             .channels = kChannels,
                             .groups = 32,
                             .eps = 1e-6f};
  params.type = FloatType::kF16;
  // everything else is 0: the sums of the chunks that do not run are those zeros, too
  for (int64_t c = 0; c < kChannels; ++c)
    x.data()[kLast * kChannels + c] = __float2half(c % 2 == 0 ? 2.0f : -1.0f);
  const size_t bytes = group_norm_silu_workspace_size(params);
  emulation::Sparse<char> workspace(static_cast<int64_t>(bytes));
  Context context;
  context.workspace = workspace.data(), context.workspace_bytes = bytes;
  const emulation::LastBlockOnly last;
  REQUIRE(group_norm_silu_cuda(params, context) == Status::kOk);
  const double mean = 1.0 / (2.0 * kPositions), variance = 5.0 / (2.0 * kPositions) - mean * mean;
  for (const int64_t c : {0, 1, 63}) {
    const double z = ((c % 2 == 0 ? 2.0 : -1.0) - mean) / std::sqrt(variance + 1e-6) * 0.5 + 0.25;
    CHECK(__half2float(y.data()[kLast * kChannels + c]) ==
          Approx(z / (1 + std::exp(-z))).epsilon(1e-3).margin(1e-3));
  }
}
