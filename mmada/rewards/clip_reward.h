// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "mmada/rewards/reward.h"
#include "mmada/vision/clip.h"

namespace mmada {

struct ClipRewardOptions {
  /// What is compared.
  enum class Text {
    kPrompt,   ///< the prompt with the picture that was drawn
    kResponse  ///< what the response says behind its reasoning with the picture that the prompt showed
  };
  Text text = Text::kPrompt;
  double scale = 1.0;  ///< of the cosine
  int64_t batch = 16;  ///< samples that the network sees at once: bounds the memory
};

/// CLIP score: `scale` times the cosine between the features of a text and of a picture, from -1 to 1 at
/// scale 1 (0.15 to 0.35 for most pairs). Others' conventions: torchmetrics has max(100 cosine, 0), the
/// published MMaDA weighs the score by 0.1. Abstains where there is no picture, and then computes nothing.
class ClipReward : public Reward {
 public:
  ClipReward(ClipModel model, const ClipRewardOptions& options);
  Scores score(std::span<const RewardSample> samples) override;

 private:
  ClipModel model_;
  ClipRewardOptions options_;
};

/// {"type": "clip", "model": DIR, "text": "prompt" | "response", "scale": 1.0, "batch": 16, "device": "cpu"};
/// DIR is a Hugging Face folder (load_clip).
std::unique_ptr<Reward> make_clip_reward(Fields fields);

}  // namespace mmada
