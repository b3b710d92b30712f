// SPDX-License-Identifier: MIT
#include "mmada/vision/tower_config.h"

#include "mmada/core/check.h"

namespace mmada::vision {

Tower parse_tower(Fields& fields, const Tower& standard) {
  Tower tower;
  BlockShape& block = tower.block;
  block.width = fields.integer("hidden_size", 1, kMaxWidth, standard.block.width);
  block.inner = fields.integer("intermediate_size", 1, kMaxWidth * 8, standard.block.inner);
  block.heads = fields.integer("num_attention_heads", 1, kMaxWidth, standard.block.heads);
  block.eps = fields.number("layer_norm_eps", 0.0, 1.0, standard.block.eps);
  tower.layers = fields.integer("num_hidden_layers", 1, kMaxLayers, standard.layers);
  const char* usual = standard.block.activation == Activation::kGelu ? "gelu" : "quick_gelu";
  const std::string activation = fields.choice("hidden_act", {"gelu", "quick_gelu"}, usual);
  block.activation = activation == "gelu" ? Activation::kGelu : Activation::kQuickGelu;
  if (block.width % block.heads != 0)
    fields.fail("num_attention_heads", cat(block.heads), cat("a divisor of hidden_size ", block.width));
  return tower;
}

PatchGrid parse_patch_grid(Fields& fields, const PatchGrid& standard) {
  PatchGrid grid;
  grid.image_size = fields.integer("image_size", 1, kMaxSide, standard.image_size);
  grid.patch = fields.integer("patch_size", 1, kMaxSide, standard.patch);
  if (grid.image_size < grid.patch)
    fields.fail("patch_size", cat(grid.patch), cat("at most image_size ", grid.image_size));
  return grid;
}

}  // namespace mmada::vision
