// SPDX-License-Identifier: MIT
#include "kernels/rms_norm/rms_norm.h"

#include <cmath>
#include <vector>

namespace mmada::kernels {

void rms_norm_ref(const RmsNormParams& p) {
  const auto *x = static_cast<const float*>(p.x_ND), *residual = static_cast<const float*>(p.residual_ND),
             *weight = static_cast<const float*>(p.weight_D);
  for (int64_t n = 0; n < p.rows; ++n) {
    double squares = 0;
    std::vector<double> row(p.width);
    for (int64_t d = 0; d < p.width; ++d) {
      row[d] = x[n * p.width + d];
      if (residual != nullptr) row[d] += residual[n * p.width + d];
      if (residual != nullptr) static_cast<float*>(p.sum_ND)[n * p.width + d] = static_cast<float>(row[d]);
      squares += row[d] * row[d];
    }
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(p.width) + p.eps);
    if (p.inverse_rms_N != nullptr) p.inverse_rms_N[n] = static_cast<float>(inverse);
    for (int64_t d = 0; d < p.width; ++d)
      static_cast<float*>(p.out_ND)[n * p.width + d] = static_cast<float>(row[d] * inverse * weight[d]);
  }
}

// With y = x * inverse and g = dout * weight: dx = inverse * (g - y mean(g y)), dweight = sum over rows of
// dout y.
void rms_norm_backward_ref(const RmsNormParams& p, const RmsNormGradients& g) {
  const auto *x = static_cast<const float*>(p.x_ND), *weight = static_cast<const float*>(p.weight_D),
             *dout = static_cast<const float*>(g.dout_ND), *dsum = static_cast<const float*>(g.dsum_ND);
  std::vector<double> dweight(p.width);
  for (int64_t n = 0; n < p.rows; ++n) {
    const int64_t at = n * p.width;
    double squares = 0, product = 0;
    for (int64_t d = 0; d < p.width; ++d) squares += static_cast<double>(x[at + d]) * x[at + d];
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(p.width) + p.eps);
    for (int64_t d = 0; d < p.width; ++d) {
      const double y = x[at + d] * inverse;
      product += dout[at + d] * weight[d] * y;
      dweight[d] += dout[at + d] * y;
    }
    const double mean = product / static_cast<double>(p.width);
    for (int64_t d = 0; d < p.width; ++d) {
      const double dx = inverse * (dout[at + d] * weight[d] - x[at + d] * inverse * mean);
      static_cast<float*>(g.dx_ND)[at + d] = static_cast<float>(dx + (dsum != nullptr ? dsum[at + d] : 0));
    }
  }
  for (int64_t d = 0; d < p.width; ++d) g.dweight_D[d] = static_cast<float>(dweight[d]);
}

}  // namespace mmada::kernels
