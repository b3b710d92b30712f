// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "mmada/model/checkpoint.h"
#include "mmada/vision/vgg.h"

namespace mmada {

/// LPIPS, version 0.1, over VGG-16 (Zhang et al., arXiv 1801.03924; SPEC 2): the distance of two pictures as
/// people see it. A value type over shared tensors; nothing in it is trained.
class Lpips {
 public:
  explicit Lpips(at::TensorOptions options);  ///< uninitialised weights

  /// Distances [B] of pictures in [-1, 1], differentiable in both. At each of VGG's five taps the features
  /// are scaled to unit length over the channels, their squared differences weighted by the tap's learned
  /// head and averaged over the positions; the distance is the sum over the taps. A position without any
  /// feature has gradient 0 (the published code: NaN).
  at::Tensor distance(const at::Tensor& image_B3HW, const at::Tensor& other_B3HW) const;
  /// Names of torchvision ("features.N.*") and of the lpips package ("linK.model.1.weight"), and tensors.
  std::vector<std::pair<std::string, at::Tensor>> parameters() const;

 private:
  Vgg16 trunk_;
  std::vector<at::Tensor> heads_;  ///< [1, C, 1, 1] a tap
  at::Tensor shift_, scale_;       ///< [1, 3, 1, 1]
};

/// Reads the safetensors files of a directory that examples/python/convert_lpips.py wrote. Missing,
/// unexpected and misshapen tensors are one error. Without a dtype in `options` fp32.
Lpips load_lpips(const std::string& directory, const LoadOptions& options = {});

}  // namespace mmada
