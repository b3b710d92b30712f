// SPDX-License-Identifier: MIT
#include "mmada/vision/image_reward.h"

#include <ATen/ATen.h>

#include <limits>

#include "mmada/core/check.h"

namespace mmada {

using vision::NamedTensors;
using vision::Reach;

namespace {

PostNormAttention make_attention(const vision::BlockShape& shape, int64_t context,
                                 at::TensorOptions options) {
  return {.q = vision::make_linear(shape.width, shape.width, options),
          .k = vision::make_linear(context, shape.width, options),
          .v = vision::make_linear(context, shape.width, options),
          .out = vision::make_linear(shape.width, shape.width, options),
          .norm = vision::make_layer_norm(shape.width, shape.eps, options),
          .heads = shape.heads};
}

void append(NamedTensors& list, const std::string& name, const PostNormAttention& attention) {
  append(list, name + ".self.query", attention.q);
  append(list, name + ".self.key", attention.k);
  append(list, name + ".self.value", attention.v);
  append(list, name + ".output.dense", attention.out);
  append(list, name + ".output.LayerNorm", attention.norm);
}

}  // namespace

at::Tensor PostNormAttention::forward(const at::Tensor& x_BTD, const at::Tensor& context_BSC,
                                      const at::Tensor& mask_B11S) const {
  const at::Tensor seen = vision::attend(q.forward(x_BTD), k.forward(context_BSC), v.forward(context_BSC),
                                         heads, Reach::kAll, mask_B11S);
  return norm.forward(x_BTD + out.forward(seen));
}

ImageReward::ImageReward(const ImageRewardConfig& config, at::TensorOptions options) : config_(config) {
  const auto& image = config.image.block;
  const auto& text = config.text.block;
  class_11D_ = at::empty({1, 1, image.width}, options);
  image_place_1ND_ = at::empty({1, config.grid.patches() + 1, image.width}, options);
  patch_ = {at::empty({image.width, 3, config.grid.patch, config.grid.patch}, options),
            at::empty({image.width}, options)};
  for (int64_t i = 0; i < config.image.layers; ++i) {
    ImageLayer layer = {vision::make_linear(image.width, 3 * image.width, options),
                        vision::make_block(image, options)};
    vision::Linear* const parts[] = {&layer.block.q, &layer.block.k, &layer.block.v};
    for (int64_t part = 0; part < 3; ++part)
      *parts[part] = {layer.qkv.weight.narrow(0, part * image.width, image.width),
                      layer.qkv.bias.narrow(0, part * image.width, image.width)};
    image_layers_.push_back(std::move(layer));
  }
  image_norm_ = vision::make_layer_norm(image.width, image.eps, options);
  word_VD_ = at::empty({config.vocabulary, text.width}, options);
  text_place_TD_ = at::empty({config.positions, text.width}, options);
  text_norm_ = vision::make_layer_norm(text.width, text.eps, options);
  for (int64_t i = 0; i < config.text.layers; ++i)
    text_layers_.push_back({.own = make_attention(text, text.width, options),
                            .cross = make_attention(text, image.width, options),
                            .fc1 = vision::make_linear(text.width, text.inner, options),
                            .fc2 = vision::make_linear(text.inner, text.width, options),
                            .norm = vision::make_layer_norm(text.width, text.eps, options)});
  int64_t width = text.width;
  for (const int64_t next : config.head) {
    head_.push_back(vision::make_linear(width, next, options));
    width = next;
  }
  head_.push_back(vision::make_linear(width, 1, options));
}

/// Features [B, 1 + patches, D] of a picture: the class's first.
at::Tensor ImageReward::patches(const at::Tensor& pixels_B3HW) const {
  const int64_t side = config_.grid.image_size;
  MMADA_CHECK(pixels_B3HW.dim() == 4 && pixels_B3HW.sizes().slice(1).equals({3, side, side}),
              "ImageReward: found pictures of shape ", pixels_B3HW.sizes(), ", expected [B, 3, ", side, ", ",
              side, "]");
  const at::Tensor patches_BND =
      at::conv2d(pixels_B3HW, patch_.weight, patch_.bias, config_.grid.patch).flatten(2).transpose(1, 2);
  at::Tensor x_BND =
      at::cat({class_11D_.expand({pixels_B3HW.size(0), -1, -1}), patches_BND}, 1) + image_place_1ND_;
  for (const ImageLayer& layer : image_layers_) x_BND = layer.block.forward(x_BND, Reach::kAll);
  return image_norm_.forward(x_BND);
}

at::Tensor ImageReward::scores(const at::Tensor& pixels_B3HW, const at::Tensor& ids_BT,
                               const at::Tensor& given_BT) const {
  MMADA_CHECK(ids_BT.dim() == 2 && ids_BT.size(1) > 0 && ids_BT.size(1) <= config_.max_ids,
              "ImageReward: found ids of shape ", ids_BT.sizes(), ", expected [B, 1 to ", config_.max_ids,
              "]");
  const at::Tensor image_BND = patches(pixels_B3HW);
  const at::Tensor mask_B11T =
      at::zeros(given_BT.sizes(), options())
          .masked_fill(given_BT.logical_not(), -std::numeric_limits<double>::infinity())
          .unsqueeze(1)
          .unsqueeze(1);
  at::Tensor x_BTD =
      text_norm_.forward(at::embedding(word_VD_, ids_BT) + text_place_TD_.narrow(0, 0, ids_BT.size(1)));
  for (const TextLayer& layer : text_layers_) {
    x_BTD = layer.cross.forward(layer.own.forward(x_BTD, x_BTD, mask_B11T), image_BND, {});
    const at::Tensor inner = vision::activate(layer.fc1.forward(x_BTD), config_.text.block.activation);
    x_BTD = layer.norm.forward(x_BTD + layer.fc2.forward(inner));
  }
  at::Tensor y_BD = x_BTD.select(1, 0);
  for (const vision::Linear& layer : head_) y_BD = layer.forward(y_BD);
  return (y_BD.squeeze(1) - config_.mean) / config_.deviation;
}

NamedTensors ImageReward::parameters() const {
  const std::string image = "blip.visual_encoder.", text = "blip.text_encoder.";
  NamedTensors list = {{image + "cls_token", class_11D_},
                       {image + "pos_embed", image_place_1ND_},
                       {text + "embeddings.word_embeddings.weight", word_VD_},
                       {text + "embeddings.position_embeddings.weight", text_place_TD_}};
  append(list, image + "patch_embed.proj", patch_);
  for (size_t i = 0; i < image_layers_.size(); ++i) {
    const auto& [qkv, block] = image_layers_[i];
    const std::string layer = cat(image, "blocks.", i, ".");
    append(list, layer + "norm1", block.norm1);
    append(list, layer + "attn.qkv", qkv);
    append(list, layer + "attn.proj", block.out);
    append(list, layer + "norm2", block.norm2);
    append(list, layer + "mlp.fc1", block.fc1);
    append(list, layer + "mlp.fc2", block.fc2);
  }
  append(list, image + "norm", image_norm_);
  append(list, text + "embeddings.LayerNorm", text_norm_);
  for (size_t i = 0; i < text_layers_.size(); ++i) {
    const std::string layer = cat(text, "encoder.layer.", i, ".");
    append(list, layer + "attention", text_layers_[i].own);
    append(list, layer + "crossattention", text_layers_[i].cross);
    append(list, layer + "intermediate.dense", text_layers_[i].fc1);
    append(list, layer + "output.dense", text_layers_[i].fc2);
    append(list, layer + "output.LayerNorm", text_layers_[i].norm);
  }
  // the published head counts the dropout behind each of its layers but the last two
  for (size_t i = 0; i < head_.size(); ++i)
    append(list, cat("mlp.layers.", i + 1 < head_.size() ? 2 * i : 2 * i - 1), head_[i]);
  return list;
}

}  // namespace mmada
