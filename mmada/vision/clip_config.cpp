// SPDX-License-Identifier: MIT
#include "mmada/vision/clip.h"

namespace mmada {

ClipConfig parse_clip_config(const Json& json, const std::string& source) {
  Fields fields(json, source);
  fields.choice("model_type", {"clip"});
  ClipConfig config;
  Fields text = fields.object("text_config"), image = fields.object("vision_config");
  config.text = vision::parse_tower(text, config.text);
  config.vocabulary = text.integer("vocab_size", 1, vision::kMaxVocabulary, config.vocabulary);
  config.positions = text.integer("max_position_embeddings", 2, vision::kMaxPositions, config.positions);
  config.end_id = text.integer("eos_token_id", 0, config.vocabulary - 1, config.end_id);
  config.image = vision::parse_tower(image, config.image);
  config.grid = vision::parse_patch_grid(image, config.grid);
  image.integer("num_channels", 3, 3, 3);
  config.embedding = fields.integer("projection_dim", 1, vision::kMaxWidth, config.embedding);
  return config;
}

}  // namespace mmada
