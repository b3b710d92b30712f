// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/model/checkpoint.h"

namespace mmada {

/// Sizes of the image tokenizer (SPEC 2); defaults are the published showlab/magvitv2.
struct Magvit2Config {
  int64_t channels = 128;
  int64_t bits = 13;                                   ///< LFQ code dimensions; codebook 2^bits
  std::vector<int64_t> encoder_mult = {1, 2, 2, 4, 4};
  std::vector<int64_t> encoder_blocks = {4, 3, 4, 3, 4};
  std::vector<int64_t> decoder_mult = {1, 1, 2, 2, 4};
  std::vector<int64_t> decoder_blocks = {4, 4, 3, 4, 3};  ///< indexed by level
  int64_t norm_groups = 32;

  int64_t factor() const { return int64_t{1} << (encoder_mult.size() - 1); }
  int64_t codebook_size() const { return int64_t{1} << bits; }
  bool operator==(const Magvit2Config&) const = default;
};
/// The published 66-byte config.json names no sizes and means the published network.
Magvit2Config parse_magvit2_config(const Json& json, const std::string& source);
Json magvit2_config_json(const Magvit2Config& config);

/// The image tokenizer (SPEC 2). Images are fp32 [B, 3, H, W] in [-1, 1]; codes int64 [B, h, w].
class Magvit2 {
 public:
  Magvit2() = default;
  Magvit2(const Magvit2Config& config, at::TensorOptions options);  ///< uninitialised weights

  const Magvit2Config& config() const { return config_; }
  /// Latents [B, bits, h, w] before quantisation; H and W are multiples of factor().
  at::Tensor encode_latent(const at::Tensor& image_B3HW) const;
  /// Pictures from quantised (+-1) or soft latents.
  at::Tensor decode_latent(const at::Tensor& latent_BChw) const;
  at::Tensor encode(const at::Tensor& image_B3HW) const;       ///< codes [B, h, w]
  at::Tensor decode(const at::Tensor& codes_Bhw) const;        ///< pictures, not clamped
  /// Published names (SPEC 2) and tensors, in file order.
  std::vector<std::pair<std::string, at::Tensor>> parameters() const;

 private:
  Magvit2Config config_;
  std::vector<std::pair<std::string, at::Tensor>> weights_;  // replace by what suits the forward
};

void initialize(Magvit2& model, uint64_t seed);  ///< PyTorch's default Conv2d and GroupNorm initialisation, named streams
Magvit2 load_image_tokenizer(const std::string& directory, const LoadOptions& options = {});
void save_image_tokenizer(const Magvit2& model, const std::string& directory);

}  // namespace mmada
