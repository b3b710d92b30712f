// SPDX-License-Identifier: MIT
#include "kernels/select/select.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace mmada::kernels {

namespace {

constexpr double kHidden = -std::numeric_limits<double>::infinity();

/// The row's logits in fp64, guided, banned ids at -inf.
std::vector<double> row_of_logits(const SelectStatisticsParams& p, int64_t n) {
  const auto *logits = static_cast<const float*>(p.logits), *uncond = static_cast<const float*>(p.uncond);
  std::vector<double> row(p.columns);
  for (int64_t i = 0; i < p.columns; ++i) {
    const double x = logits[n * p.row_stride + i], u = uncond != nullptr ? uncond[n * p.row_stride + i] : 0.0;
    row[i] = uncond != nullptr ? u + (1.0 + p.guidance) * (x - u) : x;
    const auto id = static_cast<uint32_t>(p.first_id + i);
    if (p.banned_bits != nullptr && (p.banned_bits[id / 32] >> id % 32 & 1u) != 0) row[i] = kHidden;
  }
  return row;
}

double noise(const SelectStatisticsParams& p, int64_t n, int64_t column) {
  if (p.temperature == 0) return 0.0;
  uint32_t bits[4];
  const auto id = static_cast<uint32_t>(p.first_id + column);
  noise_block({*p.token_key, p.positions_N[n], p.steps_N[n], p.streams_N[n]}, id / 4, bits);
  return p.temperature * -std::log(-std::log(static_cast<double>(open_unit_float(bits[id % 4]))));
}

}  // namespace

void select_ref(const SelectStatisticsParams& p, const SelectFinishParams& f, double* scores_N) {
  for (int64_t n = 0; n < p.rows; ++n) {
    const std::vector<double> row = row_of_logits(p, n);
    double largest = kHidden, second = kHidden, sum = 0, weighted = 0, best = kHidden;
    int64_t chosen = 0;
    for (int64_t i = 0; i < p.columns; ++i) {
      second = std::max(second, std::min(largest, row[i]));
      largest = std::max(largest, row[i]);
      if (row[i] == kHidden) continue;
      const double score = row[i] + noise(p, n, i);
      if (score > best) best = score, chosen = i;
    }
    for (const double x : row) {
      if (x == kHidden) continue;
      sum += std::exp(x - largest);
      weighted += std::exp(x - largest) * (x - largest);
    }
    scores_N[n] = best;
    f.ids_N[n] = static_cast<int32_t>(p.first_id + chosen);
    if (f.logsumexp_N != nullptr) f.logsumexp_N[n] = static_cast<float>(largest + std::log(sum));
    double confidence = std::exp(row[chosen] - largest) / sum;
    if (f.confidence == SelectConfidence::kMargin) confidence = (1 - std::exp(second - largest)) / sum;
    if (f.confidence == SelectConfidence::kNegEntropy) confidence = weighted / sum - std::log(sum);
    if (f.confidence == SelectConfidence::kRandom) {
      uint32_t bits[4];
      noise_block({*f.random_key, f.positions_N[n], f.steps_N[n], f.streams_N[n]}, 0, bits);
      confidence = open_unit_float(bits[0]);
    }
    f.confidence_N[n] = static_cast<float>(confidence);
  }
}

}  // namespace mmada::kernels
