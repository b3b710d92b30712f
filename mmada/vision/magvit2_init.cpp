// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "mmada/core/rng.h"
#include "mmada/vision/magvit2.h"

namespace mmada {

namespace {

void fill_uniform(at::Tensor& tensor, double bound, Rng rng) {
  at::Tensor values = at::empty(tensor.sizes(), at::kFloat);
  float* out = values.mutable_data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i) out[i] = static_cast<float>((2 * rng.uniform() - 1) * bound);
  tensor.copy_(values);
}

}  // namespace

void initialize(Magvit2& model, uint64_t seed) {
  c10::NoGradGuard no_grad;
  double bound = 0;  // of the convolution whose weight came last: its bias follows and shares it
  for (auto& [name, tensor] : model.parameters()) {
    const bool is_weight = name.ends_with(".weight");
    if (is_weight) bound = tensor.dim() == 4 ? 1.0 / std::sqrt(static_cast<double>(tensor[0].numel())) : 0;
    if (bound > 0) {
      fill_uniform(tensor, bound, Rng(seed, name));
    } else {
      tensor.fill_(is_weight ? 1 : 0);
    }
  }
}

}  // namespace mmada
