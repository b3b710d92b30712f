// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/formats/image_file.h"
#include "mmada/model/checkpoint.h"
#include "mmada/text/tokenizer.h"
#include "mmada/vision/attention_layers.h"
#include "mmada/vision/tower_config.h"
#include "mmada/vision/transforms.h"

namespace mmada {

/// Sizes of a CLIP model; the defaults are those of transformers' CLIPConfig, ViT-B/32.
struct ClipConfig {
  vision::Tower text = {{512, 2048, 8, 1e-5, vision::Activation::kQuickGelu}, 12};
  vision::Tower image = {{768, 3072, 12, 1e-5, vision::Activation::kQuickGelu}, 12};
  int64_t vocabulary = 49408, positions = 77;
  /// The text's end, whose first place is the text's feature. 2, as configurations before 2023 have it: the
  /// place of the highest id, since the id itself was wrong there.
  int64_t end_id = 49407;
  vision::PatchGrid grid;
  int64_t embedding = 512;  ///< width of what texts and pictures are compared in
};
/// Reads a Hugging Face config.json of `model_type` "clip". Keys that say nothing of the network are passed
/// over.
ClipConfig parse_clip_config(const Json& json, const std::string& source);

/// CLIP (Radford et al., arXiv 2103.00020) in transformers' layout: texts and pictures as vectors of one
/// space. A value type over shared tensors; nothing in it is trained.
class Clip {
 public:
  Clip(const ClipConfig& config, at::TensorOptions options);  ///< uninitialised weights

  /// Projected features [B, embedding], not normalised, of pixels [B, 3, image_size, image_size].
  at::Tensor image_features(const at::Tensor& pixels_B3HW) const;
  /// The same of ids [B, T], T at most `positions`. What stands behind a row's end does not count.
  at::Tensor text_features(const at::Tensor& ids_BT) const;
  /// transformers' names and tensors.
  vision::NamedTensors parameters() const;
  const ClipConfig& config() const { return config_; }
  at::TensorOptions options() const { return class_D_.options(); }  ///< type and device of the weights

 private:
  ClipConfig config_;
  at::Tensor token_VD_, text_place_TD_;
  std::vector<vision::PreNormBlock> text_blocks_, image_blocks_;
  at::Tensor class_D_, patch_D3PP_, image_place_ND_;
  vision::LayerNorm text_norm_, image_pre_norm_, image_norm_;
  vision::Linear text_projection_, image_projection_;
};

/// A CLIP model with what belongs to it.
struct ClipModel {
  Clip network;
  std::shared_ptr<const Tokenizer> tokenizer;
  int64_t start_id = 0, end_id = 0;  ///< of "<|startoftext|>" and "<|endoftext|>"
  ChannelScale scale = kClipScale;

  /// Ids [B, T] as CLIPProcessor makes them: start, text, end, cut to the network's positions with the end
  /// kept; shorter rows are filled up with ends.
  at::Tensor ids(std::span<const std::string> texts) const;
  /// [B, 3, image_size, image_size] as CLIPProcessor makes them with Pillow: shortest side scaled, bicubic,
  /// the middle cut out, scaled by channel.
  at::Tensor pixels(std::span<const Image* const> images) const;
};
/// Reads a Hugging Face folder: config.json, safetensors, tokenizer.json, and preprocessor_config.json where
/// there is one. Missing, unexpected and misshapen tensors are one error. fp32
/// without a dtype in `options`.
ClipModel load_clip(const std::string& directory, const LoadOptions& options = {});

}  // namespace mmada
