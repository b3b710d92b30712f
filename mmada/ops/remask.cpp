// SPDX-License-Identifier: MIT
#include "mmada/ops/remask.h"

#include <algorithm>
#include <numeric>

namespace mmada {

std::vector<int64_t> largest_scores(std::span<const double> scores, int64_t count) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  const int64_t keep = std::clamp<int64_t>(count, 0, static_cast<int64_t>(scores.size()));
  std::partial_sort(order.begin(), order.begin() + keep, order.end(), [&](int64_t a, int64_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  order.resize(static_cast<size_t>(keep));
  std::sort(order.begin(), order.end());
  return order;
}

std::vector<int64_t> survivors_of_cut(std::span<const double> scores, int64_t count, bool loose_cut) {
  const auto size = static_cast<int64_t>(scores.size());
  if (!loose_cut || count >= size) return largest_scores(scores, size - count);
  std::vector<double> sorted(scores.begin(), scores.end());
  const auto cut = sorted.begin() + std::max<int64_t>(count, 0);
  std::nth_element(sorted.begin(), cut, sorted.end());
  std::vector<int64_t> survivors;
  for (int64_t i = 0; i < size; ++i)
    if (scores[i] >= *cut) survivors.push_back(i);
  return survivors;
}

}  // namespace mmada
