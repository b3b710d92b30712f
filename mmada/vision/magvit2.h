// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/model/checkpoint.h"
#include "mmada/vision/layers.h"

namespace mmada {

/// Sizes of the image tokenizer (SPEC 2); defaults are the published showlab/magvitv2.
struct Magvit2Config {
  int64_t channels = 128;
  int64_t bits = 13;  ///< LFQ code dimensions; codebook 2^bits
  std::vector<int64_t> encoder_mult = {1, 2, 2, 4, 4};
  std::vector<int64_t> encoder_blocks = {4, 3, 4, 3, 4};
  std::vector<int64_t> decoder_mult = {1, 1, 2, 2, 4};
  std::vector<int64_t> decoder_blocks = {4, 4, 3, 4, 3};  ///< indexed by level
  int64_t norm_groups = 32;

  int64_t factor() const { return int64_t{1} << (encoder_mult.size() - 1); }
  int64_t codebook_size() const { return int64_t{1} << bits; }
  bool operator==(const Magvit2Config&) const = default;
};
/// Reads `encoder` and `decoder` objects with `ch`, `ch_mult`, `num_res_blocks`, `z_channels`, and
/// `norm_groups` (32). The published 66-byte config.json names no sizes and means the published network.
Magvit2Config parse_magvit2_config(const Json& json, const std::string& source);
Json magvit2_config_json(const Magvit2Config& config);

/// The image tokenizer (SPEC 2). Images are [B, 3, H, W] in [-1, 1]; codes int64 [B, h, w]; computation runs
/// in the weights' dtype and on their device. A value type over shared tensors: copies share weights.
///
/// The forward is differentiable in image and weights while grad mode is on and the weights require grad;
/// otherwise it takes the fused inference path (channels-last on CPUs).
class Magvit2 {
 public:
  Magvit2() = default;
  Magvit2(const Magvit2Config& config, at::TensorOptions options);  ///< uninitialised weights

  const Magvit2Config& config() const { return config_; }
  at::TensorOptions options() const { return encoder_.conv_in.weight.options(); }
  /// Latents [B, bits, h, w] before quantisation; H and W are multiples of factor().
  at::Tensor encode_latent(const at::Tensor& image_B3HW) const;
  /// Pictures [B, 3, H, W], not clamped, from quantised (+-1) or soft latents.
  at::Tensor decode_latent(const at::Tensor& latent_BChw) const;
  at::Tensor encode(const at::Tensor& image_B3HW) const;  ///< codes [B, h, w]
  at::Tensor decode(const at::Tensor& codes_Bhw) const;   ///< pictures, not clamped
  /// Published names (SPEC 2) and tensors, in file order (encoder, decoder; input to output).
  std::vector<std::pair<std::string, at::Tensor>> parameters() const;

 private:
  bool needs_gradient(const at::Tensor& input) const;

  Magvit2Config config_;
  vision::Encoder encoder_;
  vision::Decoder decoder_;
};

/// PyTorch's default Conv2d (uniform, +-1/sqrt(fan_in), weights and biases) and GroupNorm (1 and 0)
/// initialisation; every parameter from a stream named after it.
void initialize(Magvit2& model, uint64_t seed);
/// Reads config.json and the weights; the persisted `quantize.*` buffers may be present and are not read.
Magvit2 load_image_tokenizer(const std::string& directory, const LoadOptions& options = {});
/// Writes config.json and model.safetensors into an existing or new directory; loads back bit-equal.
void save_image_tokenizer(const Magvit2& model, const std::string& directory);

}  // namespace mmada
