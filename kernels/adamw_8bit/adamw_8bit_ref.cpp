// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/adamw_8bit/adamw_8bit.h"

namespace mmada::kernels {

namespace {

/// Zero, then decade by decade the middles of 1, 2, 4 ... parts; 1 in place of the last.
std::vector<double> defined_levels(int bits) {
  std::vector<double> levels{0.0};
  for (int decade = 0; decade < bits; ++decade)
    for (int part = 0; part < 1 << decade; ++part)
      levels.push_back(std::pow(10.0, decade - bits) * (1.0 + 9.0 * (part + 0.5) / (1 << decade)));
  levels.back() = 1.0;
  return levels;
}

int nearest(const std::vector<double>& levels, double x) {
  int best = 0;
  for (int code = 1; code < static_cast<int>(levels.size()); ++code)
    if (std::abs(levels[code] - x) < std::abs(levels[best] - x)) best = code;
  return best;
}

}  // namespace

void adamw_8bit_ref(const Adamw8bitParams& p) {
  const std::vector<double> levels7 = defined_levels(7), levels8 = defined_levels(8);
  for (int64_t first = 0; first < p.count; first += kMomentBlock) {
    const int64_t block = first / kMomentBlock, size = std::min(kMomentBlock, p.count - first);
    std::vector<double> average(size), root(size);
    double average_scale = 0, root_scale = 0;
    for (int64_t i = 0; i < size; ++i) {
      const uint8_t code = p.exp_avg[first + i];
      const double g = p.grad[first + i], w = p.weight[first + i];
      const double m = (code & 128 ? -1 : 1) * levels7[code & 127] * p.exp_avg_scale[block];
      const double r = levels8[p.exp_avg_root[first + i]] * p.exp_avg_root_scale[block];
      average[i] = p.beta1 * m + (1 - p.beta1) * g;
      const double v = p.beta2 * r * r + (1 - p.beta2) * g * g;
      const double step = static_cast<double>(p.step), corrected = average[i] / (1 - std::pow(p.beta1, step));
      root[i] = std::sqrt(v);
      p.weight[first + i] = static_cast<float>(
          w * (1 - p.learning_rate * p.weight_decay) -
          p.learning_rate * corrected / (std::sqrt(v / (1 - std::pow(p.beta2, step))) + p.epsilon));
      average_scale = std::max(average_scale, std::abs(average[i]));
      root_scale = std::max(root_scale, root[i]);
    }
    for (int64_t i = 0; i < size; ++i) {
      const int m = average_scale > 0 ? nearest(levels7, std::abs(average[i]) / average_scale) : 0;
      const int r = root[i] > 0 ? std::max(1, nearest(levels8, root[i] / root_scale)) : 0;
      p.exp_avg[first + i] = static_cast<uint8_t>(average[i] < 0 ? m | 128 : m);
      p.exp_avg_root[first + i] = static_cast<uint8_t>(r);
    }
    p.exp_avg_scale[block] = static_cast<float>(average_scale);
    p.exp_avg_root_scale[block] = static_cast<float>(root_scale);
  }
}

}  // namespace mmada::kernels
