// SPDX-License-Identifier: MIT
#include "mmada/vision/clip.h"

namespace mmada {

namespace {

constexpr int64_t kMaxWidth = 1 << 14, kMaxLayers = 256, kMaxSize = 4096, kMaxVocabulary = 1 << 24;

ClipConfig::Tower parse_tower(Fields& fields, const ClipConfig::Tower& standard) {
  ClipConfig::Tower tower;
  vision::BlockShape& block = tower.block;
  block.width = fields.integer("hidden_size", 1, kMaxWidth, standard.block.width);
  block.inner = fields.integer("intermediate_size", 1, kMaxWidth * 8, standard.block.inner);
  block.heads = fields.integer("num_attention_heads", 1, kMaxWidth, standard.block.heads);
  block.eps = fields.number("layer_norm_eps", 0.0, 1.0, standard.block.eps);
  tower.layers = fields.integer("num_hidden_layers", 1, kMaxLayers, standard.layers);
  const std::string activation = fields.choice("hidden_act", {"quick_gelu", "gelu"}, "quick_gelu");
  block.activation = activation == "gelu" ? vision::Activation::kGelu : vision::Activation::kQuickGelu;
  if (block.width % block.heads != 0)
    fields.fail("num_attention_heads", cat(block.heads), cat("a divisor of hidden_size ", block.width));
  return tower;
}

}  // namespace

ClipConfig parse_clip_config(const Json& json, const std::string& source) {
  Fields fields(json, source);
  fields.choice("model_type", {"clip"});
  ClipConfig config;
  Fields text = fields.object("text_config"), image = fields.object("vision_config");
  config.text = parse_tower(text, config.text);
  config.vocabulary = text.integer("vocab_size", 1, kMaxVocabulary, config.vocabulary);
  config.positions = text.integer("max_position_embeddings", 2, kMaxSize, config.positions);
  config.end_id = text.integer("eos_token_id", 0, config.vocabulary - 1, config.end_id);
  config.image = parse_tower(image, config.image);
  config.image_size = image.integer("image_size", 1, kMaxSize, config.image_size);
  config.patch = image.integer("patch_size", 1, kMaxSize, config.patch);
  image.integer("num_channels", 3, 3, 3);
  if (config.image_size < config.patch)
    image.fail("patch_size", cat(config.patch), cat("at most image_size ", config.image_size));
  config.embedding = fields.integer("projection_dim", 1, kMaxWidth, config.embedding);
  return config;
}

}  // namespace mmada
