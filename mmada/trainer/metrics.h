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

/// Where a run's numbers go: RUN/metrics.jsonl (one object per line, with "step", and "time" in seconds since
/// 1970) and TensorBoard events in RUN/events.
///
/// A training line holds means over the steps since the last one, named as the published trainer, torchtitan
/// and TRL name them: loss and its terms (step_loss_FLOW; an image tokenizer's are loss/TERM), grad_norm, lr,
/// skipped_step (a share), batch_time and data_time (seconds of a step, and those of it that waited for
/// data); rates of one process: samples/sec/gpu, throughput(tps), tflops, and mfu(%), what part of
/// TrainerOptions::peak_flops went into model FLOPs (left out where either is unknown); and
/// memory/max_active(GiB), the most that one process has held so far (peak_memory_bytes). Evaluations have
/// lines of their own.
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
