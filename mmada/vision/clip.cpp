// SPDX-License-Identifier: MIT
#include "mmada/vision/clip.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"

namespace mmada {

using vision::NamedTensors;
using vision::PreNormBlock;
using vision::Reach;

namespace {

std::vector<PreNormBlock> make_tower(const vision::Tower& tower, at::TensorOptions options) {
  std::vector<PreNormBlock> blocks;
  for (int64_t i = 0; i < tower.layers; ++i) blocks.push_back(vision::make_block(tower.block, options));
  return blocks;
}

void append_tower(NamedTensors& list, const std::string& name, const std::vector<PreNormBlock>& blocks) {
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string layer = cat(name, ".encoder.layers.", i, ".");
    append(list, layer + "self_attn.q_proj", blocks[i].q);
    append(list, layer + "self_attn.k_proj", blocks[i].k);
    append(list, layer + "self_attn.v_proj", blocks[i].v);
    append(list, layer + "self_attn.out_proj", blocks[i].out);
    append(list, layer + "layer_norm1", blocks[i].norm1);
    append(list, layer + "layer_norm2", blocks[i].norm2);
    append(list, layer + "mlp.fc1", blocks[i].fc1);
    append(list, layer + "mlp.fc2", blocks[i].fc2);
  }
}

}  // namespace

Clip::Clip(const ClipConfig& config, at::TensorOptions options)
    : config_(config),
      text_blocks_(make_tower(config.text, options)),
      image_blocks_(make_tower(config.image, options)) {
  const auto& text = config.text.block;
  const auto& image = config.image.block;
  token_VD_ = at::empty({config.vocabulary, text.width}, options);
  text_place_TD_ = at::empty({config.positions, text.width}, options);
  text_norm_ = vision::make_layer_norm(text.width, text.eps, options);
  text_projection_ = vision::make_linear(text.width, config.embedding, options, /*bias=*/false);
  class_D_ = at::empty({image.width}, options);
  patch_D3PP_ = at::empty({image.width, 3, config.grid.patch, config.grid.patch}, options);
  image_place_ND_ = at::empty({config.grid.patches() + 1, image.width}, options);
  image_pre_norm_ = vision::make_layer_norm(image.width, image.eps, options);
  image_norm_ = vision::make_layer_norm(image.width, image.eps, options);
  image_projection_ = vision::make_linear(image.width, config.embedding, options, /*bias=*/false);
}

at::Tensor Clip::image_features(const at::Tensor& pixels_B3HW) const {
  const int64_t side = config_.grid.image_size;
  MMADA_CHECK(pixels_B3HW.dim() == 4 && pixels_B3HW.sizes().slice(1).equals({3, side, side}),
              "CLIP: found pictures of shape ", pixels_B3HW.sizes(), ", expected [B, 3, ", side, ", ", side,
              "]");
  const at::Tensor patches_BND =
      at::conv2d(pixels_B3HW, patch_D3PP_, {}, config_.grid.patch).flatten(2).transpose(1, 2);
  at::Tensor x_BND =
      at::cat({class_D_.expand({pixels_B3HW.size(0), 1, -1}), patches_BND}, 1) + image_place_ND_;
  x_BND = image_pre_norm_.forward(x_BND);
  for (const PreNormBlock& block : image_blocks_) x_BND = block.forward(x_BND, Reach::kAll);
  return image_projection_.forward(image_norm_.forward(x_BND.select(1, 0)));
}

at::Tensor Clip::text_features(const at::Tensor& ids_BT) const {
  MMADA_CHECK(ids_BT.dim() == 2 && ids_BT.size(1) > 0 && ids_BT.size(1) <= config_.positions,
              "CLIP: found ids of shape ", ids_BT.sizes(), ", expected [B, 1 to ", config_.positions, "]");
  at::Tensor x_BTD = at::embedding(token_VD_, ids_BT) + text_place_TD_.narrow(0, 0, ids_BT.size(1));
  for (const PreNormBlock& block : text_blocks_) x_BTD = block.forward(x_BTD, Reach::kBefore);
  const at::Tensor rank_BT = config_.end_id == 2 ? ids_BT : ids_BT.eq(config_.end_id).to(at::kLong);
  const at::Tensor end_B11 = rank_BT.argmax(1).view({-1, 1, 1}).expand({-1, 1, x_BTD.size(2)});
  return text_projection_.forward(text_norm_.forward(x_BTD.gather(1, end_B11).squeeze(1)));
}

NamedTensors Clip::parameters() const {
  NamedTensors list = {{"text_model.embeddings.token_embedding.weight", token_VD_},
                       {"text_model.embeddings.position_embedding.weight", text_place_TD_},
                       {"vision_model.embeddings.class_embedding", class_D_},
                       {"vision_model.embeddings.patch_embedding.weight", patch_D3PP_},
                       {"vision_model.embeddings.position_embedding.weight", image_place_ND_}};
  append_tower(list, "text_model", text_blocks_);
  append_tower(list, "vision_model", image_blocks_);
  append(list, "text_model.final_layer_norm", text_norm_);
  append(list, "vision_model.pre_layrnorm", image_pre_norm_);  // published so
  append(list, "vision_model.post_layernorm", image_norm_);
  append(list, "text_projection", text_projection_);
  append(list, "visual_projection", image_projection_);
  return list;
}

}  // namespace mmada
