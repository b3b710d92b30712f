// SPDX-License-Identifier: MIT
#include "mmada/generation/extrapolate.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <numeric>

#include "mmada/core/check.h"

namespace mmada {
namespace {

CodeGrid counted(int64_t rows, int64_t columns) {
  CodeGrid grid{rows, columns, std::vector<int64_t>(rows * columns)};
  std::iota(grid.codes.begin(), grid.codes.end(), 0);
  return grid;
}

CodeGrid filled(CodeGrid canvas) {
  for (int64_t& code : canvas.codes)
    if (code < 0) code = 100;
  return canvas;
}

TEST_CASE("a move keeps window/2 - offset columns of context and asks for window/2 + offset new ones") {
  const CodeGrid picture = counted(2, 4);
  CHECK(extrapolation_canvas(picture, Direction::kRight, 4, 0) ==
        CodeGrid{2, 4, {2, 3, -1, -1, 6, 7, -1, -1}});
  CHECK(extrapolation_canvas(picture, Direction::kLeft, 4, 0) ==
        CodeGrid{2, 4, {-1, -1, 0, 1, -1, -1, 4, 5}});
  CHECK(extrapolation_canvas(picture, Direction::kRight, 4, 1) ==
        CodeGrid{2, 4, {3, -1, -1, -1, 7, -1, -1, -1}});
  const CodeGrid tall = counted(4, 2);
  CHECK(extrapolation_canvas(tall, Direction::kDown, 4, 0) == CodeGrid{4, 2, {4, 5, 6, 7, -1, -1, -1, -1}});
  CHECK(extrapolation_canvas(tall, Direction::kUp, 4, 0) == CodeGrid{4, 2, {-1, -1, -1, -1, 0, 1, 2, 3}});
}

TEST_CASE("in every direction the grown picture is the old one with the new part at its edge") {
  const CodeGrid picture = counted(4, 4);
  for (const auto& [direction, row, column] : {std::tuple{Direction::kRight, 0, 0},
                                               {Direction::kDown, 0, 0},
                                               {Direction::kLeft, 0, 3},
                                               {Direction::kUp, 3, 0}}) {
    const CodeGrid grown =
        join_extrapolation(picture, filled(extrapolation_canvas(picture, direction, 4, 1)), direction, 4, 1);
    const bool vertical = direction == Direction::kUp || direction == Direction::kDown;
    REQUIRE(grown.rows == (vertical ? 7 : 4));
    REQUIRE(grown.columns == (vertical ? 4 : 7));
    for (int64_t r = 0; r < 4; ++r)
      for (int64_t c = 0; c < 4; ++c) CHECK(grown.at(row + r, column + c) == picture.at(r, c));
    CHECK(std::count(grown.codes.begin(), grown.codes.end(), 100) == 12);
  }
}

TEST_CASE("directions and captions pair up") {
  const auto moves = parse_extrapolation("right *** up", "a beach *** a pier");
  REQUIRE(moves.size() == 2);
  CHECK(moves[1].direction == Direction::kUp);
  CHECK(moves[1].caption == "a pier");
  CHECK(parse_extrapolation("right *** up *** left", "sea")[2].caption == "sea");
  CHECK_THROWS_AS(parse_extrapolation("right", "a *** b"), UsageError);
  CHECK_THROWS_AS(parse_extrapolation("forward", "a"), UsageError);
  CHECK_THROWS_AS(extrapolation_canvas(counted(4, 4), Direction::kLeft, 4, 2), UsageError);
  CHECK_THROWS_AS(extrapolation_canvas(counted(4, 1), Direction::kLeft, 8, 0), Error);
}

}  // namespace
}  // namespace mmada
