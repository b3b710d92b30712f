// SPDX-License-Identifier: MIT
#include "mmada/eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace mmada {

Tally& Tally::operator+=(const Tally& other) {
  right += other.right;
  total += other.total;
  return *this;
}

double Tally::share() const {
  return total == 0 ? 0.0 : static_cast<double>(right) / static_cast<double>(total);
}

std::pair<double, double> Tally::interval() const {
  if (total == 0) return {0.0, 1.0};
  constexpr double kZ = 1.959963984540054;  // the normal quantile of 0.975
  const auto n = static_cast<double>(total);
  const double p = share(), z2 = kZ * kZ;
  const double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
  // The ends at the bounds are exact; rounding must not move them inside.
  return {right == 0 ? 0.0 : middle - half, right == total ? 1.0 : middle + half};
}

Json tally_json(const Tally& tally) {
  const auto [low, high] = tally.interval();
  return {
      {"right", tally.right}, {"total", tally.total}, {"share", tally.share()}, {"low", low}, {"high", high}};
}

double best_constant_share(const std::vector<std::string>& answers) {
  std::map<std::string, int64_t> counts;
  int64_t most = 0;
  for (const auto& answer : answers) most = std::max(most, ++counts[answer]);
  return answers.empty() ? 0.0 : static_cast<double>(most) / static_cast<double>(answers.size());
}

double perplexity(const std::vector<int64_t>& counts) {
  const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  double entropy = 0;
  for (const int64_t count : counts)
    if (count > 0)
      entropy -= static_cast<double>(count) / total * std::log(static_cast<double>(count) / total);
  return total > 0 ? std::exp(entropy) : 0.0;
}

}  // namespace mmada
