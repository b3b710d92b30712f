// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "mmada/formats/image_file.h"
#include "mmada/plot/axis.h"
#include "mmada/plot/canvas.h"
#include "mmada/plot/run_metrics.h"

namespace mmada::plot {

/// Where one metric is drawn: the rectangle in pixels and the axes that map values into it.
struct Panel {
  std::string metric;
  double left = 0, top = 0, width = 0, height = 0;
  Axis steps = {}, values = {};

  /// The point of a value: the axes' low ends are the rectangle's lower left corner.
  Point at(double step, double value) const;
};

struct ChartOptions {
  int64_t width = 1200;  ///< pixels
  int64_t height = 800;  ///< pixels; more where that would leave panels lower than kMinPanelHeight
  int smoothing = 1;     ///< values in a running mean; above 1 the values themselves stay, paler, behind it
};
constexpr int64_t kMinPanelHeight = 160;  ///< pixels, labels included

struct Chart {
  std::vector<Panel> panels;  ///< one per metric, in order
  Image picture;
};

/// The colour of the run with this place in the list; eight different ones, then from the start again.
Colour run_colour(size_t run);

/// Draws every metric in a panel of its own, with a line per run, or dots for an evaluation's values, and a
/// legend of the runs. Every metric is in at least one run and has a value.
Chart draw_chart(const std::vector<RunMetrics>& runs, const std::vector<std::string>& metrics,
                 const ChartOptions& options = {});

}  // namespace mmada::plot
