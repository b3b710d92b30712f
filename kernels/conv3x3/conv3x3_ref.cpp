// SPDX-License-Identifier: MIT
#include "kernels/conv3x3/conv3x3.h"

namespace mmada::kernels {

namespace {

/// Output channel o at row i, column j of sample n.
double output_at(const Conv3x3Params& p, int64_t n, int64_t i, int64_t j, int64_t o) {
  double sum = p.bias_O[o];
  for (int64_t u = 0; u < 3; ++u)
    for (int64_t v = 0; v < 3; ++v) {
      const int64_t row = i + u - 1, column = j + v - 1;
      if (row < 0 || row >= p.height || column < 0 || column >= p.width) continue;
      const float* x = p.x + ((n * p.height + row) * p.width + column) * p.in_channels;
      const float* weight = p.weight_OCKK + o * p.in_channels * 9 + u * 3 + v;
      for (int64_t c = 0; c < p.in_channels; ++c) sum += static_cast<double>(x[c]) * weight[c * 9];
    }
  return sum;
}

}  // namespace

void conv3x3_ref(const Conv3x3Params& p) {
  float* y = p.y;
  for (int64_t n = 0; n < p.batch; ++n)
    for (int64_t i = 0; i < p.height; ++i)
      for (int64_t j = 0; j < p.width; ++j)
        for (int64_t o = 0; o < p.out_channels; ++o, ++y)
          *y = static_cast<float>(output_at(p, n, i, j, o) + (p.add ? *y : 0.0f));
}

}  // namespace mmada::kernels
