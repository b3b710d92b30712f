// SPDX-License-Identifier: MIT
#include "mmada/vision/magvit2.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "mmada/vision/fused.h"
#include "mmada/vision/lfq.h"

namespace mmada {

namespace {

using vision::Level;

vision::Encoder make_encoder(const Magvit2Config& config, const vision::LayerMaker& make) {
  vision::Encoder encoder;
  const int64_t ch = config.channels, bits = config.bits;
  const size_t last = config.encoder_mult.size() - 1;
  encoder.conv_in = make.conv(3, ch, 3, 1, 1);
  int64_t in = ch;
  for (size_t l = 0; l <= last; ++l) {
    const int64_t out = ch * config.encoder_mult[l];
    Level level;
    for (int64_t i = 0; i < config.encoder_blocks[l]; ++i, in = out)
      level.block.push_back(make.resnet_block(in, out));
    if (l < last) level.resample = make.conv(in, in, 3, 2, 0);
    encoder.down.push_back(std::move(level));
  }
  encoder.mid = make.mid(in);
  encoder.norm_out = make.norm(in);
  encoder.conv_out = make.conv(in, bits, 3, 1, 1);
  encoder.quant_conv = make.conv(bits, bits, 1, 1, 0);
  return encoder;
}

vision::Decoder make_decoder(const Magvit2Config& config, const vision::LayerMaker& make) {
  vision::Decoder decoder;
  const int64_t ch = config.channels, bits = config.bits;
  const size_t last = config.decoder_mult.size() - 1;
  int64_t in = ch * config.decoder_mult[last];
  decoder.post_quant_conv = make.conv(bits, bits, 1, 1, 0);
  decoder.conv_in = make.conv(bits, in, 3, 1, 1);
  decoder.mid = make.mid(in);
  decoder.up.resize(last + 1);
  for (size_t l = last + 1; l-- > 0;) {
    const int64_t out = ch * config.decoder_mult[l];
    Level& level = decoder.up[l];
    for (int64_t i = 0; i < config.decoder_blocks[l]; ++i, in = out)
      level.block.push_back(make.resnet_block(in, out));
    if (l > 0) level.resample = make.conv(in, in, 3, 1, 1);
  }
  decoder.norm_out = make.norm(in);
  decoder.conv_out = make.conv(in, 3, 3, 1, 1);
  return decoder;
}

/// Collects (name, tensor) of a network in the order of the data's way through it.
class Names {
 public:
  template <class Layer>
  void pair(const std::string& name, const Layer& layer) {
    list.emplace_back(name + ".weight", layer.weight);
    list.emplace_back(name + ".bias", layer.bias);
  }
  void block(const std::string& name, const vision::ResnetBlock& block) {
    pair(name + ".norm1", block.norm1);
    pair(name + ".conv1", block.conv1);
    pair(name + ".norm2", block.norm2);
    pair(name + ".conv2", block.conv2);
    if (block.nin_shortcut) pair(name + ".nin_shortcut", *block.nin_shortcut);
  }
  void mid(const std::string& name, const vision::Mid& mid) {
    block(name + ".block_1", mid.block_1);
    pair(name + ".attn_1.norm", mid.attn_1.norm);
    pair(name + ".attn_1.q", mid.attn_1.q);
    pair(name + ".attn_1.k", mid.attn_1.k);
    pair(name + ".attn_1.v", mid.attn_1.v);
    pair(name + ".attn_1.proj_out", mid.attn_1.proj_out);
    block(name + ".block_2", mid.block_2);
  }
  void level(const std::string& name, const Level& level, const char* resample) {
    for (size_t i = 0; i < level.block.size(); ++i) block(cat(name, ".block.", i), level.block[i]);
    if (level.resample) pair(cat(name, ".", resample, ".conv"), *level.resample);
  }

  std::vector<std::pair<std::string, at::Tensor>> list;
};

}  // namespace

Magvit2::Magvit2(const Magvit2Config& config, at::TensorOptions options) : config_(config) {
  const vision::LayerMaker make(options, config.norm_groups);
  encoder_ = make_encoder(config, make);
  decoder_ = make_decoder(config, make);
}

bool Magvit2::needs_gradient(const at::Tensor& input) const {
  if (!c10::GradMode::is_enabled()) return false;
  if (input.requires_grad()) return true;
  const auto weights = parameters();
  return std::any_of(weights.begin(), weights.end(),
                     [](const auto& weight) { return weight.second.requires_grad(); });
}

at::Tensor Magvit2::encode_latent(const at::Tensor& image_B3HW) const {
  const int64_t factor = config_.factor();
  MMADA_CHECK(image_B3HW.dim() == 4 && image_B3HW.size(1) == 3, "image tokenizer: found pictures of shape ",
              image_B3HW.sizes(), ", expected [B, 3, H, W]");
  MMADA_CHECK(image_B3HW.size(2) > 0 && image_B3HW.size(2) % factor == 0 && image_B3HW.size(3) > 0 &&
                  image_B3HW.size(3) % factor == 0,
              "image tokenizer: found a picture of ", image_B3HW.size(3), "x", image_B3HW.size(2),
              ", expected sides that are multiples of ", factor);
  const at::Tensor image = image_B3HW.to(options().dtype());
  return needs_gradient(image) ? encoder_.forward(image) : fused_forward(encoder_, image);
}

at::Tensor Magvit2::decode_latent(const at::Tensor& latent_BChw) const {
  MMADA_CHECK(latent_BChw.dim() == 4 && latent_BChw.size(1) == config_.bits && latent_BChw.numel() > 0,
              "image tokenizer: found latents of shape ", latent_BChw.sizes(), ", expected [B, ",
              config_.bits, ", h, w]");
  const at::Tensor latent = latent_BChw.to(options().dtype());
  return needs_gradient(latent) ? decoder_.forward(latent) : fused_forward(decoder_, latent);
}

at::Tensor Magvit2::encode(const at::Tensor& image_B3HW) const {
  return latent_to_codes(encode_latent(image_B3HW));
}

at::Tensor Magvit2::decode(const at::Tensor& codes_Bhw) const {
  return decode_latent(codes_to_latent(codes_Bhw, config_.bits, options().dtype().toScalarType()));
}

std::vector<std::pair<std::string, at::Tensor>> Magvit2::parameters() const {
  Names names;
  names.pair("encoder.conv_in", encoder_.conv_in);
  for (size_t l = 0; l < encoder_.down.size(); ++l)
    names.level(cat("encoder.down.", l), encoder_.down[l], "downsample");
  names.mid("encoder.mid", encoder_.mid);
  names.pair("encoder.norm_out", encoder_.norm_out);
  names.pair("encoder.conv_out", encoder_.conv_out);
  names.pair("encoder.quant_conv", encoder_.quant_conv);
  names.pair("decoder.post_quant_conv", decoder_.post_quant_conv);
  names.pair("decoder.conv_in", decoder_.conv_in);
  names.mid("decoder.mid", decoder_.mid);
  for (size_t l = decoder_.up.size(); l-- > 0;)
    names.level(cat("decoder.up.", l), decoder_.up[l], "upsample");
  names.pair("decoder.norm_out", decoder_.norm_out);
  names.pair("decoder.conv_out", decoder_.conv_out);
  return std::move(names.list);
}

}  // namespace mmada
