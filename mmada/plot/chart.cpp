// SPDX-License-Identifier: MIT
#include "mmada/plot/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "mmada/core/check.h"

namespace mmada::plot {
namespace {

constexpr Colour kInk = {40, 40, 40}, kLabel = {95, 95, 95}, kGrid = {228, 228, 228},
                 kFrame = {150, 150, 150};
constexpr int64_t kHeader = 48, kFooter = 10;  // pixels
// Around a panel's rectangle, for its labels and its title.
constexpr int64_t kLeft = 76, kRight = 18, kTop = 26, kBottom = 24;
constexpr double kTitleSize = 14, kLabelSize = 11, kHeaderSize = 16;
constexpr int64_t kMaxColumns = 4;

struct Grid {
  int64_t columns, rows, height;  // height of the picture
};

/// Two panels lie one above the other, many in up to four columns.
Grid grid_for(size_t panels, const ChartOptions& options) {
  const auto count = static_cast<int64_t>(panels);
  const auto square = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  const int64_t columns = count <= 2 ? 1 : std::min(square, kMaxColumns);
  const int64_t rows = (count + columns - 1) / columns;
  return {columns, rows, std::max(options.height, kHeader + rows * kMinPanelHeight + kFooter)};
}

struct Range {
  double min = std::numeric_limits<double>::infinity(), max = -min;
  void cover(const std::vector<double>& values) {
    for (const double value : values) min = std::min(min, value), max = std::max(max, value);
  }
};

/// The metric's place in the grid, with axes that have as many ticks as there is room for labels. All panels
/// share `steps`, so that what happened at one time stands at one place.
Panel panel_for(const std::vector<RunMetrics>& runs, const std::string& metric, const Range& steps,
                int64_t index, const Grid& grid, int64_t width) {
  const int64_t column = index % grid.columns, row = index / grid.columns;
  const int64_t cell_width = width / grid.columns;
  const int64_t cell_height = (grid.height - kHeader - kFooter) / grid.rows;
  Panel panel{.metric = metric,
              .left = static_cast<double>(column * cell_width + kLeft),
              .top = static_cast<double>(kHeader + row * cell_height + kTop),
              .width = static_cast<double>(cell_width - kLeft - kRight),
              .height = static_cast<double>(cell_height - kTop - kBottom)};
  Range values;
  for (const RunMetrics& run : runs)
    if (const Curve* curve = run.find(metric)) values.cover(curve->values);
  MMADA_CHECK(values.min <= values.max, "plot: metric `", metric, "`: found no values");
  const auto ticks = [](double length, double apart) {
    return std::clamp(static_cast<int>(length / apart), 5, 10);
  };
  panel.steps = fit_step_axis(steps.min, steps.max, ticks(panel.width, 80));
  panel.values = fit_axis(values.min, values.max, ticks(panel.height, 35));
  return panel;
}

void draw_frame(Canvas* canvas, const Panel& panel) {
  const auto left = static_cast<int64_t>(panel.left), top = static_cast<int64_t>(panel.top);
  const auto width = static_cast<int64_t>(panel.width), height = static_cast<int64_t>(panel.height);
  for (const double tick : panel.values.ticks) {
    const double y = panel.at(panel.steps.low, tick).y;
    canvas->rectangle(left, std::lround(y), width, 1, kGrid);
    canvas->text(tick_text(panel.values, tick), {panel.left - 7, y + 4}, kLabelSize, kLabel, Align::kRight);
  }
  double free_from = -1e9;  // labels that would touch the one before are left out
  for (const double tick : panel.steps.ticks) {
    const double x = panel.at(tick, panel.values.low).x;
    canvas->rectangle(std::lround(x), top, 1, height, kGrid);
    const std::string text = tick_text(panel.steps, tick);
    const double half = canvas->text_width(text, kLabelSize) / 2;
    if (x - half < free_from) continue;
    canvas->text(text, {x, panel.top + panel.height + 15}, kLabelSize, kLabel, Align::kCentre);
    free_from = x + half + 8;
  }
  canvas->rectangle(left, top + height, width, 1, kFrame);
  canvas->rectangle(left, top, 1, height + 1, kFrame);
  const bool fits = canvas->text_width(panel.metric, kTitleSize) <= panel.width;
  const double name =
      canvas->text(panel.metric, {panel.left, panel.top - 8}, fits ? kTitleSize : kLabelSize, kInk);
  const std::string scale = panel.values.logarithmic ? "over steps, log scale" : "over steps";
  if (name + 8 + canvas->text_width(scale, kLabelSize) <= panel.width)  // a long name stands alone
    canvas->text(scale, {panel.left + panel.width, panel.top - 8}, kLabelSize, kLabel, Align::kRight);
}

/// The curve in pixels. Of the points in one pixel column only the first, lowest, highest and last are kept:
/// the line looks the same.
std::vector<Point> line_of(const Panel& panel, const std::vector<double>& steps,
                           const std::vector<double>& values) {
  std::vector<Point> line;
  for (size_t i = 0; i < steps.size();) {
    size_t lowest = i, highest = i, end = i;
    const double column = std::floor(panel.at(steps[i], values[i]).x);
    for (; end < steps.size() && std::floor(panel.at(steps[end], values[end]).x) == column; ++end) {
      if (values[end] < values[lowest]) lowest = end;
      if (values[end] > values[highest]) highest = end;
    }
    std::array kept = {i, lowest, highest, end - 1};
    std::sort(kept.begin(), kept.end());
    for (size_t k = 0; k < kept.size(); ++k)
      if (k == 0 || kept[k] != kept[k - 1]) line.push_back(panel.at(steps[kept[k]], values[kept[k]]));
    i = end;
  }
  return line;
}

void draw_curve(Canvas* canvas, const Panel& panel, const Curve& curve, Colour colour, int smoothing) {
  if (curve.evaluation || curve.values.size() == 1) {
    for (size_t i = 0; i < curve.values.size(); ++i)
      canvas->disc(panel.at(curve.steps[i], curve.values[i]), 3.0, colour);
    return;
  }
  const bool smooth = smoothing > 1;
  canvas->polyline(line_of(panel, curve.steps, curve.values), smooth ? 1.0 : 1.6, colour, smooth ? 0.3 : 1.0);
  if (smooth)
    canvas->polyline(line_of(panel, curve.steps, running_mean(curve.values, smoothing)), 1.8, colour);
}

/// The runs' names, each beside a bar of its colour; those that do not fit are counted.
void draw_legend(Canvas* canvas, const std::vector<RunMetrics>& runs) {
  double x = 20;
  const auto width = static_cast<double>(canvas->image().width);
  for (size_t i = 0; i < runs.size(); ++i) {
    const double needed = 30 + canvas->text_width(runs[i].name, kHeaderSize);
    const double reserve = i + 1 < runs.size() ? 110 : 0;
    if (i > 0 && x + needed + reserve > width) {
      canvas->text(cat("and ", runs.size() - i, " more"), {x, 31}, kHeaderSize, kLabel);
      return;
    }
    canvas->rectangle(std::lround(x), 23, 22, 5, run_colour(i));
    canvas->text(runs[i].name, {x + 30, 31}, kHeaderSize, kInk);
    x += needed + 26;
  }
}

}  // namespace

Point Panel::at(double step, double value) const {
  return {left + width * steps.position(step), top + height * (1 - values.position(value))};
}

Colour run_colour(size_t run) {
  // Okabe and Ito's colours, told apart with every kind of colour vision; their yellow is too pale on white.
  constexpr std::array<Colour, 8> kColours = {{{0, 114, 178},
                                               {213, 94, 0},
                                               {0, 158, 115},
                                               {204, 121, 167},
                                               {230, 159, 0},
                                               {86, 180, 233},
                                               {0, 0, 0},
                                               {122, 90, 160}}};
  return kColours[run % kColours.size()];
}

Chart draw_chart(const std::vector<RunMetrics>& runs, const std::vector<std::string>& metrics,
                 const ChartOptions& options) {
  const Grid grid = grid_for(metrics.size(), options);
  Canvas canvas(options.width, grid.height);
  Range steps;
  for (const RunMetrics& run : runs)
    for (const std::string& metric : metrics)
      if (const Curve* curve = run.find(metric)) steps.cover(curve->steps);
  Chart chart;
  for (const std::string& metric : metrics) {
    const auto index = static_cast<int64_t>(chart.panels.size());
    const Panel& panel =
        chart.panels.emplace_back(panel_for(runs, metric, steps, index, grid, options.width));
    draw_frame(&canvas, panel);
    for (size_t i = 0; i < runs.size(); ++i)
      if (const Curve* curve = runs[i].find(metric))
        draw_curve(&canvas, panel, *curve, run_colour(i), options.smoothing);
  }
  draw_legend(&canvas, runs);
  chart.picture = canvas.image();
  return chart;
}

}  // namespace mmada::plot
