// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace mmada::plot {

/// A chart's axis: which values it covers, how they map to a length, and where its round ticks stand.
struct Axis {
  double low = 0.0;
  double high = 1.0;
  bool logarithmic = false;
  std::vector<double> ticks = {};  ///< ascending, within [low, high]; 1, 2 or 5 times a power of ten apart

  /// Where the value lies along the axis: 0 at `low`, 1 at `high`. On a logarithmic axis value > 0.
  double position(double value) const;
};

/// Values that span more than this factor, all of them positive, get a logarithmic axis.
constexpr double kLogarithmicSpan = 1000.0;

/// An axis over [min, max] (finite) with a margin on both sides and about `tick_count` ticks, at least two.
/// Values all alike stand in the middle.
Axis fit_axis(double min, double max, int tick_count);
/// The same without a margin and never logarithmic: an axis of steps.
Axis fit_step_axis(double min, double max, int tick_count);

/// The tick's label, with the digits that tell it from its neighbours: "0.002", "150000", "1e-05".
std::string tick_text(const Axis& axis, double tick);

}  // namespace mmada::plot
