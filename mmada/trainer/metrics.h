// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mmada/trainer/tensorboard.h"

namespace mmada {

using MetricValues = std::vector<std::pair<std::string, double>>;

/// Where a run's numbers go: RUN/metrics.jsonl (one object per line, "step" first) and TensorBoard events in
/// RUN/events.
///
/// A resumed run continues both: lines of steps at or beyond its first step are dropped.
class Metrics {
 public:
  Metrics(const std::string& run_directory, int64_t first_step, bool tensorboard);

  void write(int64_t step, const MetricValues& values);
  void image(const std::string& tag, int64_t step, const Image& image);
  void text(const std::string& tag, int64_t step, const std::string& text);

 private:
  std::string path_;
  std::ofstream lines_;
  std::optional<TensorBoardWriter> events_;
};

}  // namespace mmada
