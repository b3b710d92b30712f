// SPDX-License-Identifier: MIT
#include "mmada/ops/remask.h"

#include <catch2/catch.hpp>
#include <limits>

namespace mmada {
namespace {

using Indices = std::vector<int64_t>;

TEST_CASE("largest_scores picks exactly k, ties to the lower index, in ascending order") {
  const std::vector<double> scores{0.5, 0.9, 0.5, 0.1, 0.9};
  CHECK(largest_scores(scores, 0).empty());
  CHECK(largest_scores(scores, -3).empty());
  CHECK(largest_scores(scores, 1) == Indices{1});
  CHECK(largest_scores(scores, 3) == Indices{0, 1, 4});
  CHECK(largest_scores(scores, 99) == Indices{0, 1, 2, 3, 4});
  CHECK(largest_scores({}, 2).empty());
}

TEST_CASE("scores of -inf are picked last") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(largest_scores(std::vector<double>{-infinity, 0.1, -infinity}, 2) == Indices{0, 1});
}

TEST_CASE("the strict cut remasks exactly k, the published one spares ties") {
  const std::vector<double> scores{0.3, 0.2, 0.2, 0.2, 0.1};
  CHECK(survivors_of_cut(scores, 2, false) == Indices{0, 1, 2});
  CHECK(survivors_of_cut(scores, 2, true) == Indices{0, 1, 2, 3});
  CHECK(survivors_of_cut(scores, 1, false) == survivors_of_cut(scores, 1, true));
  CHECK(survivors_of_cut(scores, 5, true).empty());
}

}  // namespace
}  // namespace mmada
