// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mmada/vision/layers.h"

namespace mmada {

struct PatchDiscriminatorConfig {
  int64_t channels = 64;  ///< of the first convolution; doubled by each following one up to eight times
  int64_t layers = 3;     ///< convolutions of stride 2
};

/// Tells pictures from reconstructions patch by patch: the PatchGAN of pix2pix (arXiv 1611.07004) as VQGAN
/// and Open-MAGVIT2 train it (SPEC 2). 4x4 convolutions with LeakyReLU 0.2; the inner ones have no bias and
/// are followed by batch normalisation. That normalises by the batch's own statistics, always, as published
/// training does: the running averages would serve inference, of which a discriminator has none, and are not
/// kept. A value type over shared tensors.
class PatchDiscriminator {
 public:
  PatchDiscriminator() = default;
  PatchDiscriminator(const PatchDiscriminatorConfig& config, at::TensorOptions options);  ///< uninitialised

  /// Logits [B, 1, h, w], high for pictures; h = H / 2^layers - 2 where that divides H.
  at::Tensor forward(const at::Tensor& image_B3HW) const;
  /// The same weights, which gradients pass through but do not reach.
  PatchDiscriminator frozen() const;
  /// The published names ("main.0.weight") and tensors, input to output.
  std::vector<std::pair<std::string, at::Tensor>> parameters() const;

 private:
  struct Layer {
    vision::Conv conv;
    at::Tensor norm_weight, norm_bias;  ///< undefined: no normalisation
  };
  std::vector<Layer> layers_;
};

/// The published start: convolutions N(0, 0.02), normalisations N(1, 0.02) and 0, biases of convolutions
/// uniform within 1/sqrt(fan_in); every parameter from a stream named after it.
void initialize(PatchDiscriminator& model, uint64_t seed);

}  // namespace mmada
