// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>

#include "mmada/core/check.h"
#include "mmada/vision/image_reward.h"
#include "mmada/vision/load_network.h"
#include "mmada/vision/text_rows.h"
#include "mmada/vision/transforms.h"

namespace mmada {

ImageRewardConfig parse_image_reward_config(const Json& json, const std::string& source) {
  Fields fields(json, source);
  fields.choice("model_type", {"image_reward"});
  ImageRewardConfig config;
  Fields image = fields.object("vision"), text = fields.object("text");
  config.image = vision::parse_tower(image, config.image);
  config.grid = vision::parse_patch_grid(image, config.grid);
  config.text = vision::parse_tower(text, config.text);
  config.vocabulary = text.integer("vocab_size", 1, vision::kMaxVocabulary, config.vocabulary);
  config.positions = text.integer("max_position_embeddings", 2, vision::kMaxPositions, config.positions);
  config.max_ids = text.integer("max_length", 2, config.positions, config.max_ids);
  config.head = fields.integers("head", 1, vision::kMaxWidth, config.head);
  config.mean = fields.number("mean", -1e6, 1e6, config.mean);
  config.deviation = fields.number("std", 1e-6, 1e6, config.deviation);
  for (const Fields* part : {&image, &text, &fields}) part->finish();
  return config;
}

ImageRewardModel::Prompts ImageRewardModel::prompts(std::span<const std::string> texts) const {
  std::vector<TokenIds> rows;
  for (const std::string& text : texts)
    rows.push_back(vision::framed(tokenizer->encode(text), start_id, end_id, network.config().max_ids));
  const at::Tensor ids_BT = vision::rows_to_tensor(rows, -1);
  return {ids_BT.clamp_min(0), ids_BT.ge(0)};
}

at::Tensor ImageRewardModel::pixels(std::span<const Image* const> images) const {
  const int64_t side = network.config().grid.image_size;
  std::vector<at::Tensor> rows;
  for (const Image* image : images) rows.push_back(scaled_pixels(*image, side, side, Fit::kClip, kClipScale));
  return at::stack(rows);
}

ImageRewardModel load_image_reward(const std::string& directory, const LoadOptions& options) {
  const std::string source = directory + "/config.json", words = directory + "/vocab.txt";
  const ImageRewardConfig config = parse_image_reward_config(read_json_file(source), source);
  auto tokenizer = std::make_shared<const WordPiece>(WordPiece::load(words));
  MMADA_CHECK(tokenizer->size() <= config.vocabulary, words, ": found ", tokenizer->size(),
              " tokens, expected at most the network's ", config.vocabulary);
  ImageReward network = vision::load_network(
      directory, [&](at::TensorOptions o) { return ImageReward(config, o); }, {}, options);
  const int64_t start_id = *tokenizer->token_id("[CLS]"), end_id = *tokenizer->token_id("[SEP]");
  return {std::move(network), std::move(tokenizer), start_id, end_id};
}

}  // namespace mmada
