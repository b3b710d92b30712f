// SPDX-License-Identifier: MIT
#include "mmada/vision/vgg.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"

namespace mmada {

namespace {

struct Stage {
  int64_t channels, convolutions;
};
constexpr Stage kStages[] = {{64, 2}, {128, 2}, {256, 3}, {512, 3}, {512, 3}};
constexpr int64_t kSmallestSide = 16;

}  // namespace

Vgg16::Vgg16(at::TensorOptions options) {
  const vision::LayerMaker make(options, /*norm_groups=*/1);
  int64_t in = 3;
  for (const auto& [channels, convolutions] : kStages) {
    stages_.emplace_back();
    for (int64_t i = 0; i < convolutions; ++i, in = channels)
      stages_.back().push_back(make.conv(in, channels, 3, 1, 1));
  }
}

std::vector<at::Tensor> Vgg16::features(const at::Tensor& x_B3HW) const {
  MMADA_CHECK(x_B3HW.dim() == 4 && x_B3HW.size(1) == 3 && x_B3HW.size(2) >= kSmallestSide &&
                  x_B3HW.size(3) >= kSmallestSide,
              "VGG-16: found pictures of shape ", x_B3HW.sizes(), ", expected [B, 3, H, W] of at least ",
              kSmallestSide, " x ", kSmallestSide, " pixels");
  std::vector<at::Tensor> features;
  at::Tensor x = x_B3HW;
  for (const std::vector<vision::Conv>& stage : stages_) {
    if (!features.empty()) x = at::max_pool2d(x, {2, 2}, {2, 2});
    for (const vision::Conv& conv : stage) x = conv.forward(x).relu();
    features.push_back(x);
  }
  return features;
}

std::vector<std::pair<std::string, at::Tensor>> Vgg16::parameters() const {
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  int64_t index = 0;  // torchvision counts the ReLU behind each convolution and the pooling behind each stage
  for (const std::vector<vision::Conv>& stage : stages_) {
    for (const vision::Conv& conv : stage) {
      const std::string name = cat("features.", index);
      parameters.emplace_back(name + ".weight", conv.weight);
      parameters.emplace_back(name + ".bias", conv.bias);
      index += 2;
    }
    ++index;
  }
  return parameters;
}

}  // namespace mmada
