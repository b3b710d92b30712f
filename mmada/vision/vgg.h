// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "mmada/vision/layers.h"

namespace mmada {

/// The convolutions of VGG-16 (Simonyan & Zisserman, arXiv 1409.1556) without batch normalisation, in
/// torchvision's layout. A value type over shared tensors.
class Vgg16 {
 public:
  explicit Vgg16(at::TensorOptions options);  ///< uninitialised weights

  /// Outputs of relu1_2, relu2_2, relu3_3, relu4_3, relu5_3: [B, 64 | 128 | 256 | 512 | 512, H / 2^k, W /
  /// 2^k] for k = 0..4. H and W are at least 16.
  std::vector<at::Tensor> features(const at::Tensor& x_B3HW) const;
  /// torchvision's names ("features.0.weight" to "features.28.bias") and tensors, input to output.
  std::vector<std::pair<std::string, at::Tensor>> parameters() const;

 private:
  std::vector<std::vector<vision::Conv>> stages_;  ///< one a resolution
};

}  // namespace mmada
