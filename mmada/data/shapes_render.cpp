// SPDX-License-Identifier: MIT
#include "mmada/data/shapes_render.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mmada {
namespace {

struct Point {
  double x, y;
};

bool inside_polygon(const std::vector<Point>& points, double x, double y) {  // even-odd rule
  bool inside = false;
  for (size_t i = 0; i < points.size(); ++i) {
    const Point &a = points[i], &b = points[(i + 1) % points.size()];
    if ((a.y > y) == (b.y > y)) continue;
    if (x < (b.x - a.x) * (y - a.y) / (b.y - a.y) + a.x) inside = !inside;
  }
  return inside;
}

std::vector<Point> star_points(double radius) {
  std::vector<Point> points;
  for (int k = 0; k < 10; ++k) {
    const double angle = std::numbers::pi * (-0.5 + k / 5.0);
    const double reach = radius * (k % 2 == 0 ? kStarReach : 0.45);
    points.push_back({std::cos(angle) * reach, std::sin(angle) * reach});
  }
  return points;
}

/// Counts, for every pixel within `reach` of the centre, the sample points for which inside(dx, dy) holds.
template <class Inside>
std::vector<uint8_t> cover(const ShapesOptions& options, double center_x, double center_y, double reach,
                           Inside inside) {
  const int64_t side = options.canvas, points = options.supersampling;
  std::vector<uint8_t> coverage(static_cast<size_t>(side * side), 0);
  const auto first = [&](double center) {
    return std::max<int64_t>(0, static_cast<int64_t>(std::floor(center - reach)));
  };
  const auto last = [&](double center) {
    return std::min(side, static_cast<int64_t>(std::ceil(center + reach)) + 1);
  };
  const double step = 1.0 / static_cast<double>(points);
  for (int64_t y = first(center_y); y < last(center_y); ++y)
    for (int64_t x = first(center_x); x < last(center_x); ++x) {
      int hits = 0;
      for (int64_t j = 0; j < points; ++j)
        for (int64_t i = 0; i < points; ++i)
          hits += inside(static_cast<double>(x) + (static_cast<double>(i) + 0.5) * step - center_x,
                         static_cast<double>(y) + (static_cast<double>(j) + 0.5) * step - center_y);
      coverage[y * side + x] = static_cast<uint8_t>(hits);
    }
  return coverage;
}

std::vector<uint8_t> polygon_coverage(const ShapesOptions& options, double center_x, double center_y,
                                      const std::vector<Point>& points) {
  double reach = 0;
  for (const auto& point : points) reach = std::max({reach, std::abs(point.x), std::abs(point.y)});
  return cover(options, center_x, center_y, reach,
               [&](double x, double y) { return inside_polygon(points, x, y); });
}

Image blank(const ShapesOptions& options) {
  Image image{.width = options.canvas, .height = options.canvas, .channels = 3, .pixels = {}};
  image.pixels.resize(static_cast<size_t>(options.canvas * options.canvas * 3));
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = options.background[i % 3];
  return image;
}

/// Lays a colour over the picture, rounding to nearest in integers.
void paint(const ShapesOptions& options, const std::vector<uint8_t>& coverage, const NamedColor& color,
           Image& image) {
  const int full = static_cast<int>(options.supersampling * options.supersampling);
  for (size_t pixel = 0; pixel < coverage.size(); ++pixel) {
    const int part = coverage[pixel];
    if (part == 0) continue;
    for (size_t c = 0; c < 3; ++c) {
      uint8_t& value = image.pixels[pixel * 3 + c];
      value = static_cast<uint8_t>((value * (full - part) + color.rgb[c] * part + full / 2) / full);
    }
  }
}

std::vector<Point> random_polygon(double radius, Rng& rng) {
  std::vector<double> angles(3 + rng.below(4));
  for (double& angle : angles) angle = 2 * std::numbers::pi * rng.uniform();
  std::sort(angles.begin(), angles.end());
  std::vector<Point> points;
  for (const double angle : angles) {
    const double reach = radius * (0.6 + 0.5 * rng.uniform());
    points.push_back({std::cos(angle) * reach, std::sin(angle) * reach});
  }
  return points;
}

/// An object where it shall stand, its radius and centre drawn.
struct Placed {
  double x = 0, y = 0, radius = 0;
};

Placed place(const ShapesOptions& options, const SceneObject& object, double wobble, Rng& rng) {
  const auto about = [&](double reach) { return reach * (2 * rng.uniform() - 1); };
  const double cell =
      static_cast<double>(options.canvas) / static_cast<double>(std::max(options.rows, options.columns));
  const auto [x, y] = cell_center(options, object.cell);
  const double wanted = options.sizes[object.size].radius * (1 + about(wobble));
  const double radius = std::min(wanted, cell / 2 / kStarReach);
  const double room = std::min(cell / 2 - radius * kStarReach, wobble * cell);
  return {x + about(room), y + about(room), radius};
}

/// Paints the halves of a coverage in two different colours, cut across or along through (x, y).
void paint_halves(const ShapesOptions& options, const std::vector<uint8_t>& coverage, const Placed& at,
                  Rng& rng, Image& image) {
  const auto colors = rng.permutation(static_cast<int64_t>(options.colors.size()));
  const bool across = rng.uniform() < 0.5;
  std::vector<uint8_t> halves[2] = {coverage, coverage};
  for (size_t pixel = 0; pixel < coverage.size(); ++pixel) {
    const auto side = static_cast<size_t>(options.canvas);
    const auto along = static_cast<double>(across ? pixel % side : pixel / side);
    halves[along < (across ? at.x : at.y) ? 1 : 0][pixel] = 0;
  }
  for (int half = 0; half < 2; ++half) paint(options, halves[half], options.colors[colors[half]], image);
}

}  // namespace

std::vector<uint8_t> outline_coverage(const ShapesOptions& options, Outline outline, double center_x,
                                      double center_y, double radius) {
  const double r = radius;
  switch (outline) {
    case Outline::kCircle:
      return cover(options, center_x, center_y, r,
                   [r](double x, double y) { return x * x + y * y <= r * r; });
    case Outline::kSquare:
      return cover(options, center_x, center_y, r,
                   [r](double x, double y) { return std::abs(x) <= r * 0.86 && std::abs(y) <= r * 0.86; });
    case Outline::kTriangle:
      return cover(options, center_x, center_y, 1.08 * r,
                   [r](double x, double y) { return y <= r * 0.85 && y >= 1.75 * std::abs(x) - r; });
    case Outline::kStar:
      return polygon_coverage(options, center_x, center_y, star_points(r));
  }
  throw Error("outline out of range");
}

std::pair<double, double> cell_center(const ShapesOptions& options, int64_t cell) {
  const auto side = static_cast<double>(options.canvas);
  const auto middle = [side](int64_t index, int64_t count) {
    return side * (static_cast<double>(index) + 0.5) / static_cast<double>(count);
  };
  return {middle(cell % options.columns, options.columns), middle(cell / options.columns, options.rows)};
}

Image render_scene(const ShapesOptions& options, const Scene& scene) {
  Image image = blank(options);
  for (const auto& object : scene) {
    const auto [x, y] = cell_center(options, object.cell);
    const auto coverage =
        outline_coverage(options, options.shapes[object.shape], x, y, options.sizes[object.size].radius);
    paint(options, coverage, options.colors[object.color], image);
  }
  return image;
}

Image render_varied(const ShapesOptions& options, const Scene& scene, bool wobble, Rng& rng) {
  Image image = blank(options);
  for (const auto& object : scene) {
    const Placed at = place(options, object, wobble ? options.wobble : 0.0, rng);
    const auto coverage =
        options.is_blob(object.shape)
            ? polygon_coverage(options, at.x, at.y, random_polygon(at.radius, rng))
            : outline_coverage(options, options.shapes[object.shape], at.x, at.y, at.radius);
    if (options.is_mixed(object.color))
      paint_halves(options, coverage, at, rng, image);
    else
      paint(options, coverage, options.colors[object.color], image);
  }
  return image;
}

Image render_free(const ShapesOptions& options, Rng& rng) {
  Image image = blank(options);
  const bool wander = rng.uniform() < 0.5;
  const double smallest = options.sizes.front().radius, largest = options.sizes.back().radius;
  const int64_t fewest = std::min<int64_t>(2, options.cells());
  auto cells = rng.permutation(options.cells());
  cells.resize(static_cast<size_t>(fewest) + rng.below(static_cast<uint64_t>(options.cells() - fewest + 1)));
  for (const int64_t cell : cells) {
    auto [x, y] = cell_center(options, cell);
    double radius = options.sizes[rng.below(options.sizes.size())].radius;
    if (wander) {  // up to an eighth of a cell away, and any size between
      const auto reach = static_cast<int64_t>(largest * 0.3);
      x += static_cast<double>(static_cast<int64_t>(rng.below(2 * reach + 1)) - reach);
      y += static_cast<double>(static_cast<int64_t>(rng.below(2 * reach + 1)) - reach);
      radius = std::round(smallest - 1 + rng.uniform() * (largest + 2 - smallest));
    }
    const int shape = static_cast<int>(rng.below(options.shapes.size()));
    const int color = static_cast<int>(rng.below(options.colors.size()));
    const bool polygon = (wander && rng.uniform() < 0.6) || options.pair_held_out(shape, color);
    const auto coverage = polygon ? polygon_coverage(options, x, y, random_polygon(radius, rng))
                                  : outline_coverage(options, options.shapes[shape], x, y, radius);
    paint(options, coverage, options.colors[color], image);
  }
  return image;
}

}  // namespace mmada
