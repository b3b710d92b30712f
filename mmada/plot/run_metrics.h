// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace mmada::plot {

/// One metric of a run over its steps, in the order of the file.
struct Curve {
  std::string metric;
  std::vector<double> steps;
  std::vector<double> values;  ///< finite: what the run recorded as null (NaN, infinity) is left out
  bool evaluation = false;     ///< measured now and then, beside the training steps
};

/// What RUN/metrics.jsonl holds.
struct RunMetrics {
  std::string name;           ///< of the run: its folder's
  std::vector<Curve> curves;  ///< in the order in which the metrics appear
  bool torn = false;          ///< the last line was cut short (a crash while it was written) and is left out

  const Curve* find(const std::string& metric) const;
};

/// Reads RUN/metrics.jsonl. Errors: no such file, no line with a metric, and any line but the last that is
/// not an object of numbers with a "step"; the message names file and line.
RunMetrics read_run_metrics(const std::string& run_directory);

/// Every value becomes the mean of itself and its neighbours: window / 2 on either side (window >= 1), as
/// many as there are near the ends.
std::vector<double> running_mean(const std::vector<double>& values, int window);

/// The metrics to draw, in order. With nothing wanted: all of them but bookkeeping (skipped_step,
/// rows_per_second, data_share, padding_saved). A wanted name is a metric, a
/// group ("gate" means gate/...) or "lr" for learning_rate; one that no run has throws UsageError with the
/// nearest name.
std::vector<std::string> choose_metrics(const std::vector<RunMetrics>& runs,
                                        const std::vector<std::string>& wanted);

}  // namespace mmada::plot
