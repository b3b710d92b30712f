// SPDX-License-Identifier: MIT
#include "mmada/trainer/advantages.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada {
namespace {

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

/// Root of the mean square distance from `from`.
double deviation(std::span<const double> values, double from) {
  double sum = 0;
  for (const double value : values) sum += (value - from) * (value - from);
  return values.empty() ? 0 : std::sqrt(sum / static_cast<double>(values.size()));
}

std::vector<double> present(std::span<const std::optional<double>> rewards) {
  std::vector<double> values;
  for (const auto& reward : rewards)
    if (reward) values.push_back(*reward);
  return values;
}

void check_rewards(const std::vector<std::optional<double>>& rewards, int64_t group_size) {
  MMADA_CHECK(group_size >= 2 && std::ssize(rewards) % group_size == 0, "advantages: found ", rewards.size(),
              " rewards in groups of ", group_size, ", expected whole groups of at least 2");
  for (size_t i = 0; i < rewards.size(); ++i)
    MMADA_CHECK(!rewards[i] || std::isfinite(*rewards[i]), "advantages: response ", i, ": found a reward of ",
                *rewards[i], ", expected a finite one");
}

}  // namespace

RewardScale reward_scale_from_name(std::string_view name) {
  if (name == "group") return RewardScale::kGroup;
  if (name == "batch") return RewardScale::kBatch;
  MMADA_CHECK(name == "none", "reward scale: found ", quote(name), ", expected group, batch or none");
  return RewardScale::kNone;
}

Advantages group_advantages(const std::vector<std::optional<double>>& rewards, int64_t group_size,
                            const AdvantageOptions& options) {
  check_rewards(rewards, group_size);
  Advantages result;
  result.values.resize(rewards.size());
  std::vector<double> distances;  // of the batch
  for (int64_t begin = 0; begin < std::ssize(rewards); begin += group_size) {
    const auto size = static_cast<size_t>(group_size), first = static_cast<size_t>(begin);
    const std::vector<double> group = present(std::span(rewards).subspan(first, size));
    ++result.groups;
    if (group.size() < 2) {
      ++result.groups_too_small;
      continue;
    }
    const auto [least, most] = std::ranges::minmax(group);
    if (most - least <= options.least_spread) {
      ++result.groups_without_spread;
      continue;
    }
    const double center = mean(group);
    const double scale =
        options.scale == RewardScale::kGroup ? deviation(group, center) + options.epsilon : 1;
    for (size_t i = first; i < first + size; ++i)
      if (rewards[i])
        result.values[i] = (*rewards[i] - center) / scale, distances.push_back(*rewards[i] - center);
  }
  if (options.scale == RewardScale::kBatch) {
    const double scale = deviation(distances, 0) + options.epsilon;
    for (auto& value : result.values)
      if (value) *value /= scale;
  }
  const std::vector<double> all = present(rewards);
  result.reward_mean = mean(all), result.reward_std = deviation(all, result.reward_mean);
  return result;
}

}  // namespace mmada
