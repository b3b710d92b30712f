// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "mmada/rewards/reward.h"
#include "mmada/vision/image_reward.h"

namespace mmada {

/// ImageReward's score of the picture that was drawn for a prompt: how people would rank it, about normal
/// with mean 0 and deviation 1 over the published comparisons. Abstains where there is no picture, and then
/// computes nothing.
class ImageRewardScore : public Reward {
 public:
  /// `batch` samples at most are seen by the network at once: bounds the memory.
  ImageRewardScore(ImageRewardModel model, int64_t batch);
  Scores score(std::span<const RewardSample> samples) override;

 private:
  ImageRewardModel model_;
  int64_t batch_;
};

/// {"type": "image_reward", "model": DIR, "batch": 16, "device": "cpu"}; DIR was written by
/// examples/python/convert_image_reward.py (load_image_reward).
std::unique_ptr<Reward> make_image_reward(Fields fields);

}  // namespace mmada
