// SPDX-License-Identifier: MIT
#include "mmada/generation/extrapolate.h"

#include <utility>

#include "mmada/core/check.h"

namespace mmada {
namespace {

bool is_vertical(Direction direction) { return direction == Direction::kUp || direction == Direction::kDown; }
bool grows_at_end(Direction direction) {
  return direction == Direction::kRight || direction == Direction::kDown;
}

CodeGrid transposed(const CodeGrid& grid) {
  CodeGrid out{grid.columns, grid.rows, std::vector<int64_t>(grid.codes.size())};
  for (int64_t row = 0; row < grid.rows; ++row)
    for (int64_t column = 0; column < grid.columns; ++column) out.at(column, row) = grid.at(row, column);
  return out;
}

/// Columns [begin, end) of a grid.
CodeGrid columns_of(const CodeGrid& grid, int64_t begin, int64_t end) {
  CodeGrid out{grid.rows, end - begin, {}};
  for (int64_t row = 0; row < grid.rows; ++row)
    for (int64_t column = begin; column < end; ++column) out.codes.push_back(grid.at(row, column));
  return out;
}

CodeGrid beside(const CodeGrid& left, const CodeGrid& right) {
  CodeGrid out{left.rows, left.columns + right.columns, {}};
  for (int64_t row = 0; row < left.rows; ++row) {
    for (int64_t column = 0; column < left.columns; ++column) out.codes.push_back(left.at(row, column));
    for (int64_t column = 0; column < right.columns; ++column) out.codes.push_back(right.at(row, column));
  }
  return out;
}

int64_t context_size(int64_t window, int64_t offset, int64_t available) {
  const int64_t context = window / 2 - offset;
  if (context < 1 || window / 2 + offset < 1)
    throw UsageError(cat("offset: found ", offset, ", expected ", 1 - window / 2, " to ", window / 2 - 1,
                         " for a window of ", window));
  MMADA_CHECK(context <= available, "extrapolation: found ", available,
              " columns or rows of picture, expected at least ", context, " of context");
  return context;
}

std::vector<std::string> split_pairs(const std::string& text) {
  const std::string separator = " *** ";
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = text.find(separator, begin)) != std::string::npos; begin = end + separator.size())
    parts.push_back(text.substr(begin, end - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

}  // namespace

Direction direction_from_name(std::string_view name) {
  if (name == "left") return Direction::kLeft;
  if (name == "right") return Direction::kRight;
  if (name == "up") return Direction::kUp;
  if (name == "down") return Direction::kDown;
  throw UsageError(cat("direction: found \"", name, "\", expected left, right, up or down"));
}

std::vector<ExtrapolationMove> parse_extrapolation(const std::string& directions,
                                                   const std::string& captions) {
  const auto names = split_pairs(directions), texts = split_pairs(captions);
  if (texts.size() != 1 && texts.size() != names.size())
    throw UsageError(cat("extrapolation: found ", names.size(), " directions and ", texts.size(),
                         " captions, expected one caption or one per direction"));
  std::vector<ExtrapolationMove> moves;
  for (size_t i = 0; i < names.size(); ++i)
    moves.push_back({direction_from_name(names[i]), texts[texts.size() == 1 ? 0 : i], {}});
  return moves;
}

int64_t extrapolation_window(const CodeGrid& grid, Direction direction) {
  return is_vertical(direction) ? grid.rows : grid.columns;
}

CodeGrid extrapolation_canvas(const CodeGrid& picture, Direction direction, int64_t window, int64_t offset) {
  if (is_vertical(direction)) {
    const Direction sideways = direction == Direction::kUp ? Direction::kLeft : Direction::kRight;
    return transposed(extrapolation_canvas(transposed(picture), sideways, window, offset));
  }
  const int64_t context = context_size(window, offset, picture.columns);
  const int64_t fresh = window / 2 + offset;
  const CodeGrid unknown{picture.rows, fresh, std::vector<int64_t>(picture.rows * fresh, -1)};
  if (grows_at_end(direction))
    return beside(columns_of(picture, picture.columns - context, picture.columns), unknown);
  return beside(unknown, columns_of(picture, 0, context));
}

CodeGrid join_extrapolation(const CodeGrid& picture, const CodeGrid& filled, Direction direction,
                            int64_t window, int64_t offset) {
  if (is_vertical(direction)) {
    const Direction sideways = direction == Direction::kUp ? Direction::kLeft : Direction::kRight;
    return transposed(join_extrapolation(transposed(picture), transposed(filled), sideways, window, offset));
  }
  const int64_t context = context_size(window, offset, picture.columns);
  if (grows_at_end(direction)) return beside(columns_of(picture, 0, picture.columns - context), filled);
  return beside(filled, columns_of(picture, context, picture.columns));
}

}  // namespace mmada
