// SPDX-License-Identifier: MIT
#include "mmada/vision/lpips.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"
#include "mmada/vision/load_network.h"

namespace mmada {

namespace {

constexpr int64_t kTapChannels[] = {64, 128, 256, 512, 512};
constexpr double kEps = 1e-10;

at::Tensor unit_length(const at::Tensor& x_BCHW) {
  return x_BCHW / (at::linalg_vector_norm(x_BCHW, 2, {1}, /*keepdim=*/true) + kEps);
}

}  // namespace

Lpips::Lpips(at::TensorOptions options) : trunk_(options) {
  for (const int64_t channels : kTapChannels) heads_.push_back(at::empty({1, channels, 1, 1}, options));
  const auto constant = [&](std::initializer_list<double> values) {
    return at::tensor(values, at::kDouble).view({1, 3, 1, 1}).to(options);
  };
  shift_ = constant({-.030, -.088, -.188});
  scale_ = constant({.458, .448, .450});
}

at::Tensor Lpips::distance(const at::Tensor& image_B3HW, const at::Tensor& other_B3HW) const {
  MMADA_CHECK(image_B3HW.sizes() == other_B3HW.sizes(), "LPIPS: found pictures of shapes ",
              image_B3HW.sizes(), " and ", other_B3HW.sizes(), ", expected the same");
  const auto features = [&](const at::Tensor& x) { return trunk_.features((x - shift_) / scale_); };
  const std::vector<at::Tensor> image = features(image_B3HW), other = features(other_B3HW);
  at::Tensor distance_B = at::zeros({image_B3HW.size(0)}, image_B3HW.options());
  for (size_t tap = 0; tap < heads_.size(); ++tap) {
    const at::Tensor difference = (unit_length(image[tap]) - unit_length(other[tap])).square();
    distance_B = distance_B + at::conv2d(difference, heads_[tap]).mean(at::IntArrayRef{1, 2, 3});
  }
  return distance_B;
}

std::vector<std::pair<std::string, at::Tensor>> Lpips::parameters() const {
  auto parameters = trunk_.parameters();
  for (size_t tap = 0; tap < heads_.size(); ++tap)
    parameters.emplace_back(cat("lin", tap, ".model.1.weight"), heads_[tap]);
  return parameters;
}

Lpips load_lpips(const std::string& directory, const LoadOptions& options) {
  return vision::load_network(
      directory, [](at::TensorOptions o) { return Lpips(o); }, {}, options);
}

}  // namespace mmada
