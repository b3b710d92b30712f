// SPDX-License-Identifier: MIT
#include "mmada/trainer/advantages.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <span>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"

namespace {

using namespace mmada;
using Rewards = std::vector<std::optional<double>>;

struct Expected {
  long double mean = 0, deviation = 0;
};
Expected in_long_double(std::span<const std::optional<double>> rewards) {
  Expected expected;
  long double count = 0, squares = 0;
  for (const auto& reward : rewards)
    if (reward) expected.mean += *reward, ++count;
  expected.mean /= std::max(1.0L, count);
  for (const auto& reward : rewards)
    if (reward) squares += (*reward - expected.mean) * (*reward - expected.mean);
  expected.deviation = std::sqrt(squares / std::max(1.0L, count));
  return expected;
}

}  // namespace

TEST_CASE("advantages are distances from the group's mean over its standard deviation") {
  const Advantages found = group_advantages({2.0, 0.0, 0.0, 2.0, 1.0, 3.0, 5.0, 7.0}, 4, {.epsilon = 0});
  for (const size_t i : {0, 3}) CHECK(*found.values[i] == Approx(1));
  for (const size_t i : {1, 2}) CHECK(*found.values[i] == Approx(-1));
  CHECK(*found.values[7] == Approx(3 / std::sqrt(5.0)));
  CHECK(found.groups == 2);
  CHECK(found.reward_mean == Approx(2.5));
  CHECK(found.reward_std == Approx(std::sqrt(5.25)));
}

TEST_CASE("the batch's spread, or none, may stand in for the group's") {
  const Rewards rewards = {2.0, 0.0, 1.0, 1.5};
  const Advantages plain = group_advantages(rewards, 2, {.scale = RewardScale::kNone});
  CHECK(*plain.values[0] == Approx(1));
  CHECK(*plain.values[3] == Approx(0.25));
  const Advantages batch = group_advantages(rewards, 2, {.scale = RewardScale::kBatch, .epsilon = 0});
  const double spread = std::sqrt((1 + 1 + 0.0625 + 0.0625) / 4);
  CHECK(*batch.values[0] == Approx(1 / spread));
  CHECK(*batch.values[2] == Approx(-0.25 / spread));
}

TEST_CASE("groups without spread, or with fewer than two rewards, are left out and counted") {
  const Rewards rewards = {1.0, 1.0, 1.0, {}, 4.0, {}, {}, {}, 0.0, 1.0, {}, 0.0};
  const Advantages found = group_advantages(rewards, 4);
  CHECK(found.groups_without_spread == 1);
  CHECK(found.groups_too_small == 1);
  for (size_t i = 0; i < 8; ++i) CHECK_FALSE(found.values[i]);
  CHECK_FALSE(found.values[10]);  // it abstained
  CHECK(*found.values[9] == Approx((2.0 / 3) / (std::sqrt(2.0) / 3 + 1e-4)));
}

TEST_CASE("advantages of any rewards are finite, sum to zero in each group and are those of longer numbers") {
  Rng rng(4, "test");
  for (int trial = 0; trial < 12'000; ++trial) {  // 108,000 groups
    const auto size = static_cast<int64_t>(2 + rng.below(6));
    Rewards rewards;
    for (int64_t i = 0; i < 3 * size; ++i) {
      const double scale = std::pow(10.0, static_cast<double>(rng.below(12)) - 6);
      rewards.push_back(rng.uniform() < 0.2 ? std::optional<double>() : (rng.uniform() - 0.5) * scale);
    }
    for (const RewardScale scale : {RewardScale::kGroup, RewardScale::kBatch, RewardScale::kNone}) {
      const Advantages found = group_advantages(rewards, size, {.scale = scale});
      for (int64_t begin = 0; begin < 3 * size; begin += size) {
        const Expected expected = in_long_double(std::span(rewards).subspan(begin, size));
        double sum = 0, largest = 0, error = 0;
        for (int64_t i = begin; i < begin + size; ++i) {
          if (!found.values[i]) continue;
          sum += *found.values[i], largest = std::max(largest, std::abs(*found.values[i]));
          if (scale == RewardScale::kBatch) continue;
          const long double divisor = scale == RewardScale::kGroup ? expected.deviation + 1e-4L : 1.0L;
          error = std::max(error, static_cast<double>(
                                      std::abs(*found.values[i] - (*rewards[i] - expected.mean) / divisor)));
        }
        CHECK(std::isfinite(largest));
        CHECK(std::abs(sum) <= 1e-9 * (1 + largest));
        CHECK(error <= 1e-9 * (1 + largest));
      }
    }
  }
}

TEST_CASE("rewards that are not finite or no whole groups are errors that name them") {
  CHECK_THROWS_WITH(group_advantages({1.0, std::numeric_limits<double>::quiet_NaN()}, 2),
                    Catch::Contains("response 1: found a reward of nan"));
  CHECK_THROWS_WITH(group_advantages({1.0, 2.0, 3.0}, 2), Catch::Contains("3 rewards in groups of 2"));
  CHECK_THROWS_WITH(group_advantages({1.0}, 1), Catch::Contains("at least 2"));
  CHECK_THROWS_WITH(reward_scale_from_name("std"), Catch::Contains("found \"std\", expected group"));
}
