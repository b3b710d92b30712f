// SPDX-License-Identifier: MIT
#include "mmada/eval/shape_finder.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mmada/data/shapes_render.h"

namespace mmada {
namespace {

constexpr double kEmptyShare = 0.25;     // of the faintest drawing's energy: below it a cell is empty
constexpr double kExplainedShare = 0.5;  // of a cell's energy: from here on a drawing explains it

std::array<float, 3> difference(const ShapesOptions& options, const uint8_t* rgb) {
  std::array<float, 3> out{};
  for (int c = 0; c < 3; ++c) out[c] = static_cast<float>(rgb[c]) - static_cast<float>(options.background[c]);
  return out;
}

float dot(const std::array<float, 3>& a, const std::array<float, 3>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

}  // namespace

ShapeFinder::ShapeFinder(const ShapesOptions& options) : options_(options) {
  for (int64_t cell = 0; cell < options_.cells(); ++cell) cells_.push_back(make_cell(cell));
  faintest_ = std::numeric_limits<double>::infinity();
  for (const auto& drawing : cells_.front().drawings)
    for (const auto& color : options_.colors) {
      const auto v = difference(options_, color.rgb.data());
      faintest_ = std::min(faintest_, drawing.energy * dot(v, v));
    }
}

ShapeFinder::Cell ShapeFinder::make_cell(int64_t index) const {
  const auto edge = [this](int64_t line, int64_t count) { return options_.canvas * line / count; };
  const int64_t row = index / options_.columns, column = index % options_.columns;
  Cell cell;
  cell.left = edge(column, options_.columns);
  cell.top = edge(row, options_.rows);
  cell.width = edge(column + 1, options_.columns) - cell.left;
  cell.height = edge(row + 1, options_.rows) - cell.top;
  const auto [x, y] = cell_center(options_, index);
  const auto full = static_cast<float>(options_.supersampling * options_.supersampling);
  for (size_t shape = 0; shape < options_.shapes.size(); ++shape)
    for (size_t size = 0; size < options_.sizes.size(); ++size)
      for (int shift = 0; shift < 9; ++shift) {
        const auto coverage = outline_coverage(options_, options_.shapes[shape], x + shift % 3 - 1,
                                               y + shift / 3 - 1, options_.sizes[size].radius);
        Drawing drawing{.shape = static_cast<int>(shape), .size = static_cast<int>(size), .coverage = {}};
        for (int64_t j = cell.top; j < cell.top + cell.height; ++j)
          for (int64_t i = cell.left; i < cell.left + cell.width; ++i)
            drawing.coverage.push_back(coverage[j * options_.canvas + i] / full);
        for (const float a : drawing.coverage) drawing.energy += static_cast<double>(a) * a;
        cell.drawings.push_back(std::move(drawing));
      }
  return cell;
}

void ShapeFinder::find_in_cell(const Image& image, int64_t index, FoundScene& found) const {
  const Cell& cell = cells_[index];
  std::vector<std::array<float, 3>> pixels;
  double energy = 0;
  for (int64_t y = cell.top; y < cell.top + cell.height; ++y)
    for (int64_t x = cell.left; x < cell.left + cell.width; ++x) {
      pixels.push_back(difference(options_, image.row(y) + x * 3));
      energy += dot(pixels.back(), pixels.back());
    }
  if (energy < kEmptyShare * faintest_) return;

  SceneObject best{.cell = static_cast<int>(index)};
  double best_gain = -std::numeric_limits<double>::infinity();
  std::vector<float> along(pixels.size());  // every pixel's component along the colour
  for (size_t color = 0; color < options_.colors.size(); ++color) {
    const auto v = difference(options_, options_.colors[color].rgb.data());
    for (size_t i = 0; i < pixels.size(); ++i) along[i] = dot(pixels[i], v);
    for (const auto& drawing : cell.drawings) {
      float overlap = 0;
      for (size_t i = 0; i < along.size(); ++i) overlap += drawing.coverage[i] * along[i];
      const double gain = 2.0 * overlap - drawing.energy * dot(v, v);
      if (gain <= best_gain) continue;
      best_gain = gain;
      best.shape = drawing.shape;
      best.size = drawing.size;
      best.color = static_cast<int>(color);
    }
  }
  if (best_gain >= kExplainedShare * energy)
    found.scene.push_back(best);
  else
    ++found.unreadable;
}

FoundScene ShapeFinder::find(const Image& image) const {
  MMADA_CHECK(image.width == options_.canvas && image.height == options_.canvas && image.channels == 3,
              "shape finder: found a picture of ", image.width, " x ", image.height, " with ", image.channels,
              " channels, expected ", options_.canvas, " x ", options_.canvas, " with 3");
  FoundScene found;
  for (int64_t cell = 0; cell < options_.cells(); ++cell) find_in_cell(image, cell, found);
  return found;
}

}  // namespace mmada
