// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mmada {

/// Indices of the `count` largest scores in ascending order of index; equal scores go to the lower index.
/// Scores of -inf are candidates like others, the last ones; a count beyond the size takes all, one below 1
/// none.
std::vector<int64_t> largest_scores(std::span<const double> scores, int64_t count);

/// MaskGIT's cut (SPEC 5.2): indices, ascending, of the scores that survive when the `count` lowest go back
/// to MASK.
///
/// loose_cut as published: only scores strictly below the (count+1)-th lowest go back, so that equal scores
/// at the cut all survive; otherwise exactly `count` go back, the higher index first among equals.
std::vector<int64_t> survivors_of_cut(std::span<const double> scores, int64_t count, bool loose_cut);

}  // namespace mmada
