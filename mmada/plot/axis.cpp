// SPDX-License-Identifier: MIT
#include "mmada/plot/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace mmada::plot {
namespace {

constexpr double kMargin = 0.05;  // of the axis, on both sides

/// The round distance (1, 2 or 5 times a power of ten) that puts at most `tick_count` ticks on the span.
double round_distance(double span, int tick_count) {
  const double wanted = span / tick_count;
  const double decade = std::pow(10.0, std::floor(std::log10(wanted)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * decade >= wanted * (1 - 1e-9)) return factor * decade;
  return 10.0 * decade;
}

void set_linear_ticks(Axis* axis, int tick_count) {
  const double span = axis->high - axis->low;
  const double distance = round_distance(span, tick_count);
  const double slack = 1e-9 * span;  // a tick on the very end counts
  for (double index = std::ceil((axis->low - slack) / distance); index * distance <= axis->high + slack;
       ++index)
    axis->ticks.push_back(index == 0 ? 0.0 : index * distance);
}

void set_decade_ticks(Axis* axis, int tick_count) {
  const auto first = static_cast<int>(std::ceil(std::log10(axis->low) - 1e-9));
  const auto last = static_cast<int>(std::floor(std::log10(axis->high) + 1e-9));
  const int stride = std::max(1, (last - first + tick_count) / tick_count);
  for (int decade = first; decade <= last; decade += stride) axis->ticks.push_back(std::pow(10.0, decade));
}

}  // namespace

double Axis::position(double value) const {
  if (!logarithmic) return (value - low) / (high - low);
  return std::log(value / low) / std::log(high / low);
}

Axis fit_axis(double min, double max, int tick_count) {
  Axis axis;
  if (min > 0 && max / min > kLogarithmicSpan) {
    const double margin = std::pow(max / min, kMargin);
    axis = {.low = min / margin, .high = max * margin, .logarithmic = true};
    set_decade_ticks(&axis, tick_count);
    return axis;
  }
  // Of values all alike, a tenth on either side; the same where the span is lost in their rounding.
  const double size = std::max(std::abs(min), std::abs(max));
  const bool alike = max - min <= 1e-9 * size;
  const double margin = alike ? (size > 0 ? 0.1 * size : 1.0) : kMargin * (max - min);
  axis = {.low = min - margin, .high = max + margin};
  set_linear_ticks(&axis, tick_count);
  return axis;
}

Axis fit_step_axis(double min, double max, int tick_count) {
  Axis axis{.low = min, .high = max};
  if (max <= min) axis = {.low = min - 1, .high = min + 1};
  set_linear_ticks(&axis, tick_count);
  return axis;
}

std::string tick_text(const Axis& axis, double tick) {
  int digits = 6;
  if (!axis.logarithmic && axis.ticks.size() > 1) {
    const double distance = axis.ticks[1] - axis.ticks[0];
    const double size = std::max(std::abs(axis.ticks.front()), std::abs(axis.ticks.back()));
    digits = std::clamp(static_cast<int>(std::floor(std::log10(size / distance) + 1e-9)) + 2, 6, 15);
  }
  char text[40];
  std::snprintf(text, sizeof text, "%.*g", digits, tick);
  return text;
}

}  // namespace mmada::plot
