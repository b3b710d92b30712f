// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/core/types.h"

namespace mmada {

/// Image codes in a grid, row-major; -1 is a code still to be generated.
struct CodeGrid {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<int64_t> codes;
  int64_t at(int64_t row, int64_t column) const { return codes[row * columns + column]; }
  int64_t& at(int64_t row, int64_t column) { return codes[row * columns + column]; }
  bool operator==(const CodeGrid&) const = default;
};

enum class Direction { kLeft, kRight, kUp, kDown };
Direction direction_from_name(std::string_view name);  ///< "left", "right", "up", "down"

/// One move of extrapolation: where the picture grows and what the new part shows.
struct ExtrapolationMove {
  Direction direction = Direction::kRight;
  std::string caption;
  TokenIds caption_ids = {};  ///< when not empty, taken in place of the caption
};
/// Pairs of "right *** left" and "a beach *** a pier"; one caption serves every direction.
std::vector<ExtrapolationMove> parse_extrapolation(const std::string& directions,
                                                   const std::string& captions);

/// Columns, or rows for up and down, of a move's canvas: those of the grid the model draws.
int64_t extrapolation_window(const CodeGrid& grid, Direction direction);
/// The canvas of a move (SPEC 5.3): `window`/2 - offset columns (rows for up and down) of context at the old
/// picture's edge, then window/2 + offset new ones, -1. A larger offset sees less and grows faster.
CodeGrid extrapolation_canvas(const CodeGrid& picture, Direction direction, int64_t window, int64_t offset);
/// The grown picture: the filled canvas takes the place of the context it was given. (The published "down"
/// move joins the wrong piece; there is no switch for it because what it makes is not the picture continued.)
CodeGrid join_extrapolation(const CodeGrid& picture, const CodeGrid& filled, Direction direction,
                            int64_t window, int64_t offset);

}  // namespace mmada
