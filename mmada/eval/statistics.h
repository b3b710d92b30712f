// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mmada/core/json.h"

namespace mmada {

/// How many of how many were right.
struct Tally {
  int64_t right = 0;
  int64_t total = 0;

  void add(bool is_right) { right += is_right, ++total; }
  Tally& operator+=(const Tally& other);
  double share() const;  ///< 0 where nothing was counted
  /// Wilson's score interval of the share at 95 % confidence (Wilson 1927), [0, 1] where nothing was counted:
  /// it stays inside [0, 1] and keeps its width near 0 and 1, where the normal interval collapses.
  std::pair<double, double> interval() const;
  bool operator==(const Tally&) const = default;
};
/// {"right", "total", "share", "low", "high"}
Json tally_json(const Tally& tally);

/// The share that the best constant answer gets: what a model that never looks could reach. 0 for no answers.
double best_constant_share(const std::vector<std::string>& answers);

/// exp of the entropy of the counts: how many codes are in use, each weighed by how often.
double perplexity(const std::vector<int64_t>& counts);

}  // namespace mmada
