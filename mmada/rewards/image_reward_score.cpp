// SPDX-License-Identifier: MIT
#include "mmada/rewards/image_reward_score.h"

#include <ATen/ATen.h>

#include "mmada/rewards/picture_batches.h"

namespace mmada {

ImageRewardScore::ImageRewardScore(ImageRewardModel model, int64_t batch)
    : model_(std::move(model)), batch_(batch) {}

Scores ImageRewardScore::score(std::span<const RewardSample> samples) {
  std::vector<TextAndPicture> pairs;
  for (const RewardSample& sample : samples)
    pairs.push_back({sample.prompt, sample.image ? &*sample.image : nullptr});
  const at::TensorOptions options = model_.network.options();
  return judge_in_batches(
      pairs, batch_, [&](std::span<const std::string> texts, std::span<const Image* const> pictures) {
        const auto prompts = model_.prompts(texts);
        return model_.network.scores(model_.pixels(pictures).to(options), prompts.ids_BT.to(options.device()),
                                     prompts.given_BT.to(options.device()));
      });
}

std::unique_ptr<Reward> make_image_reward(Fields fields) {
  const std::string directory = fields.string("model");
  const int64_t batch = fields.integer("batch", 1, 1 << 16, 16);
  const std::string device = fields.string("device", "cpu");
  fields.finish();
  return std::make_unique<ImageRewardScore>(load_image_reward(directory, {.device = device}), batch);
}

}  // namespace mmada
