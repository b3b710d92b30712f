// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace mmada {

/// What a reward's distance from its group's mean is divided by (SPEC 7.1; TRL's scale_rewards).
enum class RewardScale { kGroup, kBatch, kNone };
RewardScale reward_scale_from_name(std::string_view name);  ///< "group", "batch", "none"

struct AdvantageOptions {
  RewardScale scale = RewardScale::kGroup;
  double epsilon = 1e-4;       ///< added to the standard deviation
  double least_spread = 1e-6;  ///< groups whose rewards lie no further apart teach nothing
};

struct Advantages {
  std::vector<std::optional<double>> values;  ///< of each response; none: left out of the update
  int64_t groups = 0;
  int64_t groups_without_spread = 0;       ///< left out
  int64_t groups_too_small = 0;            ///< left out: fewer than two of its responses have a reward
  double reward_mean = 0, reward_std = 0;  ///< over all rewards there are
};

/// Advantages of responses that stand group by group: (r - mean of the group) / (std + epsilon), the standard
/// deviation that of the population, over the group or over the used groups' distances. A reward may be
/// missing (every part of it abstained): its response is left out and the group's mean is that of the others.
/// Rewards are finite.
Advantages group_advantages(const std::vector<std::optional<double>>& rewards, int64_t group_size,
                            const AdvantageOptions& options = {});

}  // namespace mmada
