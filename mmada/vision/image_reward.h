// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/formats/image_file.h"
#include "mmada/formats/word_piece.h"
#include "mmada/model/checkpoint.h"
#include "mmada/vision/attention_layers.h"
#include "mmada/vision/tower_config.h"

namespace mmada {

/// Sizes of an ImageReward model; the defaults are the published ImageReward-v1.0's.
struct ImageRewardConfig {
  vision::Tower image = {{1024, 4096, 16, 1e-6}, 24};  ///< BLIP's ViT-L/16
  vision::PatchGrid grid = {224, 16};
  vision::Tower text = {{768, 3072, 12, 1e-12}, 12};  ///< BERT with cross-attention in every layer
  int64_t vocabulary = 30524, positions = 512;
  int64_t max_ids = 35;                             ///< of a prompt, [CLS] and [SEP] among them
  std::vector<int64_t> head = {1024, 128, 64, 16};  ///< widths between the text's and the score
  double mean = 0.16717362830052426, deviation = 1.0333394966054072;
};
/// Reads the config.json that examples/python/convert_image_reward.py writes.
ImageRewardConfig parse_image_reward_config(const Json& json, const std::string& source);

/// Queries of one sequence, keys and values of another; the result is added and normalised.
struct PostNormAttention {
  vision::Linear q, k, v, out;
  vision::LayerNorm norm;
  int64_t heads = 1;

  /// norm(x + out(attention(x, context))); `mask_B11S` of the context's positions where defined.
  at::Tensor forward(const at::Tensor& x_BTD, const at::Tensor& context_BSC,
                     const at::Tensor& mask_B11S) const;
};

/// ImageReward (Xu et al., arXiv 2304.05977) over BLIP (arXiv 2201.12086), in the published names: a text
/// encoder reads the prompt and looks at the picture's patches in every layer; a head without activations
/// makes a score of what stands at [CLS]. A value type over shared tensors; nothing in it is trained.
class ImageReward {
 public:
  ImageReward(const ImageRewardConfig& config, at::TensorOptions options);  ///< uninitialised weights

  /// Scores [B], about normal over the published comparisons, of pixels [B, 3, image_size, image_size] and
  /// ids [B, T], T at most `max_ids`; of the positions only those with `given_BT` true count.
  at::Tensor scores(const at::Tensor& pixels_B3HW, const at::Tensor& ids_BT,
                    const at::Tensor& given_BT) const;
  /// The published names and tensors.
  vision::NamedTensors parameters() const;
  const ImageRewardConfig& config() const { return config_; }
  at::TensorOptions options() const { return word_VD_.options(); }  ///< type and device of the weights

 private:
  struct TextLayer {
    PostNormAttention own, cross;
    vision::Linear fc1, fc2;
    vision::LayerNorm norm;
  };
  struct ImageLayer {
    vision::Linear qkv;  ///< the block's three in one tensor, as published
    vision::PreNormBlock block;
  };
  at::Tensor patches(const at::Tensor& pixels_B3HW) const;

  ImageRewardConfig config_;
  at::Tensor class_11D_, image_place_1ND_;
  vision::Linear patch_;  ///< weight [D, 3, P, P]
  std::vector<ImageLayer> image_layers_;
  vision::LayerNorm image_norm_;
  at::Tensor word_VD_, text_place_TD_;
  vision::LayerNorm text_norm_;
  std::vector<TextLayer> text_layers_;
  std::vector<vision::Linear> head_;
};

/// An ImageReward model with its tokenizer.
struct ImageRewardModel {
  ImageReward network;
  std::shared_ptr<const WordPiece> tokenizer;
  int64_t start_id = 0, end_id = 0;  ///< of [CLS] and [SEP]

  struct Prompts {
    at::Tensor ids_BT, given_BT;  ///< int64; bool, false where a row is filled up
  };
  /// [CLS], text, [SEP], cut to the network's `max_ids` with the end kept.
  Prompts prompts(std::span<const std::string> texts) const;
  /// [B, 3, image_size, image_size] as torchvision's Resize (bicubic), CenterCrop and Normalize make them.
  at::Tensor pixels(std::span<const Image* const> images) const;
};
/// Reads a folder that examples/python/convert_image_reward.py wrote. Missing, unexpected and misshapen
/// tensors are one error. fp32 without a dtype in `options`.
ImageRewardModel load_image_reward(const std::string& directory, const LoadOptions& options = {});

}  // namespace mmada
