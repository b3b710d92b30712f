// SPDX-License-Identifier: MIT
#include "mmada/rewards/clip_reward.h"

#include <ATen/ATen.h>

#include "mmada/rewards/picture_batches.h"
#include "mmada/rewards/think_text.h"

namespace mmada {

namespace {

TextAndPicture compared(const RewardSample& sample, ClipRewardOptions::Text text) {
  const auto pointer = [](const std::optional<Image>& image) { return image ? &*image : nullptr; };
  if (text == ClipRewardOptions::Text::kPrompt) return {sample.prompt, pointer(sample.image)};
  return {std::string(trimmed(read_think_text(sample.response).answer)), pointer(sample.shown)};
}

}  // namespace

ClipReward::ClipReward(ClipModel model, const ClipRewardOptions& options)
    : model_(std::move(model)), options_(options) {}

Scores ClipReward::score(std::span<const RewardSample> samples) {
  std::vector<TextAndPicture> pairs;
  for (const RewardSample& sample : samples) pairs.push_back(compared(sample, options_.text));
  const Clip& network = model_.network;
  return judge_in_batches(
      pairs, options_.batch, [&](std::span<const std::string> texts, std::span<const Image* const> pictures) {
        const at::TensorOptions options = network.options();
        const at::Tensor text_BE = network.text_features(model_.ids(texts).to(options.device()));
        const at::Tensor image_BE = network.image_features(model_.pixels(pictures).to(options));
        return options_.scale * at::cosine_similarity(text_BE, image_BE);
      });
}

std::unique_ptr<Reward> make_clip_reward(Fields fields) {
  ClipRewardOptions options;
  const std::string directory = fields.string("model");
  options.text = fields.choice("text", {"prompt", "response"}, "prompt") == "prompt"
                     ? ClipRewardOptions::Text::kPrompt
                     : ClipRewardOptions::Text::kResponse;
  options.scale = fields.number("scale", -1e6, 1e6, options.scale);
  options.batch = fields.integer("batch", 1, 1 << 16, options.batch);
  const std::string device = fields.string("device", "cpu");
  fields.finish();
  return std::make_unique<ClipReward>(load_clip(directory, {.device = device}), options);
}

}  // namespace mmada
