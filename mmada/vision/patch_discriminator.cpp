// SPDX-License-Identifier: MIT
#include "mmada/vision/patch_discriminator.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"

namespace mmada {

namespace {

constexpr int64_t kKernel = 4, kMostMultiples = 8;
constexpr double kSlope = 0.2, kNormEps = 1e-5, kInitStd = 0.02;

at::Tensor batch_norm(const at::Tensor& x_BCHW, const at::Tensor& weight, const at::Tensor& bias) {
  return at::batch_norm(x_BCHW, weight, bias, /*running_mean=*/{}, /*running_var=*/{}, /*training=*/true,
                        /*momentum=*/0.0, kNormEps, /*cudnn_enabled=*/true);
}

}  // namespace

PatchDiscriminator::PatchDiscriminator(const PatchDiscriminatorConfig& config, at::TensorOptions options) {
  MMADA_CHECK(config.channels >= 1 && config.layers >= 1, "patch discriminator: found ", config.channels,
              " channels and ", config.layers, " layers, expected at least one of each");
  const vision::LayerMaker make(options, /*norm_groups=*/1);
  const auto inner = [&](int64_t in, int64_t out, int64_t stride) -> Layer {
    vision::Conv conv = make.conv(in, out, kKernel, stride, 1);
    conv.bias = at::Tensor();  // the normalisation has one
    return {conv, at::empty({out}, options), at::empty({out}, options)};
  };
  layers_.push_back({make.conv(3, config.channels, kKernel, 2, 1), {}, {}});
  int64_t in = config.channels;
  for (int64_t layer = 1; layer <= config.layers; ++layer) {
    const int64_t out = config.channels * std::min(int64_t{1} << std::min<int64_t>(layer, 3), kMostMultiples);
    layers_.push_back(inner(in, out, layer < config.layers ? 2 : 1));
    in = out;
  }
  layers_.push_back({make.conv(in, 1, kKernel, 1, 1), {}, {}});
}

at::Tensor PatchDiscriminator::forward(const at::Tensor& image_B3HW) const {
  at::Tensor x = image_B3HW;
  for (const Layer& layer : layers_) {
    if (&layer != &layers_.front()) x = at::leaky_relu(x, kSlope);
    x = layer.conv.forward(x);
    if (layer.norm_weight.defined()) x = batch_norm(x, layer.norm_weight, layer.norm_bias);
  }
  return x;
}

PatchDiscriminator PatchDiscriminator::frozen() const {
  PatchDiscriminator copy = *this;
  for (Layer& layer : copy.layers_)
    for (at::Tensor* tensor : {&layer.conv.weight, &layer.conv.bias, &layer.norm_weight, &layer.norm_bias})
      if (tensor->defined()) *tensor = tensor->detach();
  return copy;
}

std::vector<std::pair<std::string, at::Tensor>> PatchDiscriminator::parameters() const {
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  int64_t index = 0;  // published numbering: convolution, normalisation where there is one, LeakyReLU
  const auto add = [&](const at::Tensor& weight, const at::Tensor& bias) {
    parameters.emplace_back(cat("main.", index, ".weight"), weight);
    if (bias.defined()) parameters.emplace_back(cat("main.", index, ".bias"), bias);
    ++index;
  };
  for (const Layer& layer : layers_) {
    add(layer.conv.weight, layer.conv.bias);
    if (layer.norm_weight.defined()) add(layer.norm_weight, layer.norm_bias);
    ++index;
  }
  return parameters;
}

void initialize(PatchDiscriminator& model, uint64_t seed) {
  const c10::NoGradGuard no_grad;
  double bound = 0;  // of the convolution whose weight came last: its bias follows
  for (auto& [name, tensor] : model.parameters()) {
    const bool is_weight = name.ends_with(".weight"), is_conv = tensor.dim() == 4;
    if (is_weight) bound = is_conv ? 1.0 / std::sqrt(static_cast<double>(tensor[0].numel())) : 0.0;
    Rng rng(seed, name);
    at::Tensor values = at::empty(tensor.sizes(), at::kDouble);
    double* out = values.mutable_data_ptr<double>();
    for (int64_t i = 0; i < values.numel(); ++i)
      out[i] = is_weight ? (is_conv ? 0.0 : 1.0) + kInitStd * rng.normal() : (2 * rng.uniform() - 1) * bound;
    tensor.copy_(values);
  }
}

}  // namespace mmada
