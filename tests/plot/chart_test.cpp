// SPDX-License-Identifier: MIT
// What a chart shows, read from its pixels.
#include "mmada/plot/chart.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

using namespace mmada;
using namespace mmada::plot;

namespace {

Colour pixel(const Image& image, int64_t x, int64_t y) {
  const uint8_t* at = image.row(y) + 3 * x;
  return {at[0], at[1], at[2]};
}

/// Squared distance of two colours, in 8-bit steps.
int distance(Colour a, Colour b) {
  const int red = a.red - b.red, green = a.green - b.green, blue = a.blue - b.blue;
  return red * red + green * green + blue * blue;
}

/// The pixels of this colour within the panel, from its top.
std::vector<Point> pixels_of(const Chart& chart, const Panel& panel, Colour colour) {
  std::vector<Point> found;
  for (auto y = std::lround(panel.top); y < std::lround(panel.top + panel.height); ++y)
    for (auto x = std::lround(panel.left); x < std::lround(panel.left + panel.width); ++x)
      if (distance(pixel(chart.picture, x, y), colour) < 3 * 12 * 12)
        found.push_back({static_cast<double>(x), static_cast<double>(y)});
  return found;
}

/// Steps 0, 1, ... with values that rise to `top` at step `peak` and fall again.
Curve tent(const std::string& metric, int steps, int peak, double top) {
  Curve curve{.metric = metric, .steps = {}, .values = {}};
  for (int step = 0; step < steps; ++step) {
    curve.steps.push_back(step);
    curve.values.push_back(top - std::abs(step - peak));
  }
  return curve;
}

RunMetrics run_of(const std::string& name, const std::vector<Curve>& curves) {
  return {.name = name, .curves = curves};
}

}  // namespace

TEST_CASE("the corners of a panel are the ends of its axes") {
  const Panel panel{.metric = "loss",
                    .left = 100,
                    .top = 50,
                    .width = 400,
                    .height = 200,
                    .steps = {.low = 0, .high = 10},
                    .values = {.low = -1, .high = 3}};
  CHECK(panel.at(0, -1).x == 100);
  CHECK(panel.at(0, -1).y == 250);
  CHECK(panel.at(10, 3).x == 500);
  CHECK(panel.at(10, 3).y == 50);
  CHECK(panel.at(5, 0).x == 300);
  CHECK(panel.at(5, 0).y == 200);
}

TEST_CASE("a curve's highest pixel is its maximum's, its lowest its minimum's") {
  const int peak = GENERATE(20, 50, 77);
  const Chart chart = draw_chart({run_of("run", {tent("loss", 101, peak, 60)})}, {"loss"});
  const Panel& panel = chart.panels.front();
  const std::vector<Point> line = pixels_of(chart, panel, run_colour(0));
  REQUIRE(line.size() > 300);
  // Within a pen's width: the axis runs from 0 to 100, the margin is a twentieth, as fit_axis promises
  CHECK(line.front().x == Approx(panel.left + panel.width * peak / 100.0).margin(3));
  CHECK(line.front().y == Approx(panel.top + panel.height * 0.05 / 1.1).margin(3));
  CHECK(line.back().y == Approx(panel.top + panel.height * 1.05 / 1.1).margin(3));
}

TEST_CASE("a spike of one step in a hundred thousand is seen") {
  Curve curve = tent("loss", 100000, 0, 0);
  for (double& value : curve.values) value = 1;
  curve.values[61803] = 2;
  const Chart chart = draw_chart({run_of("run", {curve})}, {"loss"});
  const Panel& panel = chart.panels.front();
  const std::vector<Point> line = pixels_of(chart, panel, run_colour(0));
  REQUIRE_FALSE(line.empty());
  CHECK(line.front().x == Approx(panel.left + panel.width * 0.61803).margin(3));
  CHECK(line.front().y == Approx(panel.at(0, 2).y).margin(3));
}

TEST_CASE("every metric has a panel of its own, in order, within the picture and beside the others") {
  const auto count = static_cast<size_t>(GENERATE(1, 2, 3, 7, 12, 30));
  std::vector<Curve> curves;
  std::vector<std::string> metrics;
  for (size_t i = 0; i < count; ++i) {
    metrics.push_back("metric_" + std::to_string(i));
    curves.push_back(tent(metrics.back(), 50, 10, 5.0 + static_cast<double>(i)));
  }
  const Chart chart = draw_chart({run_of("run", curves)}, metrics);
  CHECK(chart.picture.width == 1200);
  CHECK(chart.picture.height >= 800);
  REQUIRE(chart.panels.size() == count);
  for (size_t i = 0; i < count; ++i) {
    const Panel& panel = chart.panels[i];
    CHECK(panel.metric == metrics[i]);
    CHECK(panel.width >= 150);
    CHECK(panel.height >= 100);
    CHECK(panel.left >= 0);
    CHECK(panel.left + panel.width <= 1200);
    CHECK(panel.top + panel.height <= static_cast<double>(chart.picture.height));
    CHECK(pixels_of(chart, panel, run_colour(0)).size() > 60);
    for (size_t j = 0; j < i; ++j) {
      const Panel& other = chart.panels[j];
      const bool apart = other.left + other.width < panel.left || panel.left + panel.width < other.left ||
                         other.top + other.height < panel.top || panel.top + panel.height < other.top;
      CHECK(apart);
    }
  }
}

TEST_CASE("two runs have two colours and a legend that names both") {
  CHECK(distance(run_colour(0), run_colour(1)) > 10000);
  const RunMetrics low = run_of("low", {tent("loss", 101, 50, 60)});
  RunMetrics high = run_of("high", {tent("loss", 101, 50, 160)});
  const Chart chart = draw_chart({low, high}, {"loss"});
  const Panel& panel = chart.panels.front();
  const auto first = pixels_of(chart, panel, run_colour(0)), second = pixels_of(chart, panel, run_colour(1));
  REQUIRE(first.size() > 300);
  REQUIRE(second.size() > 300);
  CHECK(second.back().y < first.front().y);  // all of the higher run is above the other
  for (const size_t run : {0, 1}) {          // a bar of the run's colour above the panels
    int bar = 0;
    for (int64_t x = 0; x < chart.picture.width; ++x) bar += pixel(chart.picture, x, 25) == run_colour(run);
    CHECK(bar == 22);
  }
}

TEST_CASE("a run without the metric leaves the panel to the others") {
  const Chart chart =
      draw_chart({run_of("a", {tent("x", 9, 4, 9)}), run_of("b", {tent("loss", 101, 50, 60)})}, {"loss"});
  CHECK(pixels_of(chart, chart.panels.front(), run_colour(0)).empty());
  CHECK(pixels_of(chart, chart.panels.front(), run_colour(1)).size() > 300);
}

TEST_CASE("all panels share one axis of steps") {
  Curve gap{.metric = "gap", .steps = {50}, .values = {1}, .evaluation = true};
  const Chart chart = draw_chart({run_of("run", {tent("loss", 101, 50, 60), gap})}, {"loss", "gap"});
  for (const Panel& panel : chart.panels) {
    CHECK(panel.steps.low == 0);
    CHECK(panel.steps.high == 100);
  }
}

TEST_CASE("evaluations are dots with nothing in between") {
  Curve curve{.metric = "gap", .steps = {0, 50, 100}, .values = {1, 2, 3}, .evaluation = true};
  const Chart chart = draw_chart({run_of("run", {curve})}, {"gap"});
  const Panel& panel = chart.panels.front();
  const Point middle = panel.at(50, 2), between = panel.at(25, 1.5);
  CHECK(pixel(chart.picture, std::lround(middle.x), std::lround(middle.y)) == run_colour(0));
  CHECK(distance(pixel(chart.picture, std::lround(between.x), std::lround(between.y)), {255, 255, 255}) <
        3000);
  for (const Point& point : pixels_of(chart, panel, run_colour(0)))
    CHECK(std::min({std::abs(point.x - panel.at(0, 1).x), std::abs(point.x - middle.x),
                    std::abs(point.x - panel.at(100, 3).x)}) <= 4);
}

TEST_CASE("smoothing draws the running mean over the paler values") {
  Curve curve{.metric = "loss", .steps = {}, .values = {}};
  for (int i = 0; i <= 100; ++i) {
    curve.steps.push_back(i);
    curve.values.push_back(i % 2);
  }
  const Chart chart = draw_chart({run_of("run", {curve})}, {"loss"}, {.smoothing = 50});
  const Panel& panel = chart.panels.front();
  int64_t far = 0, near = 0;
  for (const Point& point : pixels_of(chart, panel, run_colour(0))) {
    if (point.x < panel.at(10, 0).x || point.x > panel.at(90, 0).x) continue;
    ++(std::abs(point.y - panel.at(0, 0.5).y) < 0.08 * panel.height ? near : far);
  }
  CHECK(far == 0);
  CHECK(near > 500);
  // The values themselves reach the margins still
  const Point top = panel.at(51, 1);
  CHECK(distance(pixel(chart.picture, std::lround(top.x), std::lround(top.y + 2)), {255, 255, 255}) > 100);
}

TEST_CASE("labels are drawn: the name above the panel, the ticks beside it") {
  const Chart chart = draw_chart({run_of("run", {tent("loss", 101, 50, 60)})}, {"loss"});
  const Panel& panel = chart.panels.front();
  const auto inked = [&](double left, double top, double width, double height) {
    int dark = 0;
    for (auto y = std::lround(top); y < std::lround(top + height); ++y)
      for (auto x = std::lround(left); x < std::lround(left + width); ++x)
        dark += distance(pixel(chart.picture, x, y), {255, 255, 255}) > 30000;
    return dark;
  };
  CHECK(inked(panel.left, panel.top - 22, 40, 18) > 20);
  for (const double tick : panel.values.ticks)
    CHECK(inked(panel.left - 40, panel.at(0, tick).y - 7, 36, 14) > 5);
  for (const double tick : panel.steps.ticks)
    CHECK(inked(panel.at(tick, 0).x - 12, panel.top + panel.height + 4, 24, 14) > 5);
}

TEST_CASE("a name that leaves no room for the scale stands alone, and a longer one is set smaller") {
  const auto inked = [](const std::string& metric, double from, double to) {
    std::vector<std::string> metrics{metric};
    for (char name = 'a'; name < 'm'; ++name)
      metrics.emplace_back(1, name);  // many: four narrow panels a row
    std::vector<Curve> curves;
    for (const std::string& name : metrics) curves.push_back(tent(name, 5, 2, 10));
    const Chart chart = draw_chart({run_of("run", curves)}, metrics);
    const Panel& panel = chart.panels.front();
    int pixels = 0;
    for (auto y = std::lround(panel.top) - 20; y < std::lround(panel.top) - 2; ++y)
      for (auto x = std::lround(panel.left + from * panel.width);
           x < std::lround(panel.left + to * panel.width); ++x)
        pixels += distance(pixel(chart.picture, x, y), {255, 255, 255}) > 3 * 60 * 60;
    return pixels;
  };
  CHECK(inked("loss", 0.9, 1.0) > 0);
  CHECK(inked("eval/math_held/format", 0.9, 1.0) == 0);
  CHECK(inked("eval/math_heldout/rewards/correct", 1.0, 1.1) == 0);
}
