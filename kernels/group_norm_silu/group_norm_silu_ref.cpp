// SPDX-License-Identifier: MIT
#include <cmath>

#include "kernels/group_norm_silu/group_norm_silu.h"

namespace mmada::kernels {

void group_norm_silu_ref(const GroupNormSiluParams& p) {
  const auto* x = static_cast<const float*>(p.x);
  auto* y = static_cast<float*>(p.y);
  const int64_t per_group = p.channels / p.groups;
  for (int64_t n = 0; n < p.batch; ++n)
    for (int64_t g = 0; g < p.groups; ++g) {
      const auto at = [&](int64_t i, int64_t c) {
        return (n * p.positions + i) * p.channels + g * per_group + c;
      };
      const double count = static_cast<double>(p.positions * per_group);
      double mean = 0, variance = 0;
      for (int64_t i = 0; i < p.positions; ++i)
        for (int64_t c = 0; c < per_group; ++c) mean += x[at(i, c)] / count;
      for (int64_t i = 0; i < p.positions; ++i)
        for (int64_t c = 0; c < per_group; ++c) variance += std::pow(x[at(i, c)] - mean, 2) / count;
      for (int64_t i = 0; i < p.positions; ++i)
        for (int64_t c = 0; c < per_group; ++c) {
          const int64_t channel = g * per_group + c;
          const double h =
              (x[at(i, c)] - mean) / std::sqrt(variance + p.eps) * p.weight_C[channel] + p.bias_C[channel];
          y[at(i, c)] = static_cast<float>(h / (1 + std::exp(-h)));
        }
    }
}

}  // namespace mmada::kernels
