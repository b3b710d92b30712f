// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "mmada/core/json.h"
#include "mmada/trainer/lr_schedule.h"
#include "mmada/trainer/optimizer.h"

namespace mmada {

/// How a run goes, whatever it trains.
struct TrainerOptions {
  std::string output_dir;
  int64_t max_train_steps = 0;
  int64_t save_every = 0;  ///< 0: only at the end
  int64_t log_every = 10;
  int64_t evaluate_every = 0;   ///< 0: never
  bool evaluate_first = false;  ///< also before the first step
  int64_t checkpoints_total_limit = 0;
  /// Checkpoints are copied into host memory and written while training goes on (CheckpointSaver).
  bool async_save = false;
  std::string resume_from_checkpoint = "latest";  ///< "latest", "none" or a checkpoint's path
  /// Whether a checkpoint whose weights alone are whole will do (load_checkpoint): what else is missing
  /// begins anew.
  bool allow_partial = false;
  /// For which a process waits for others within a step. The first step, and whatever lies between steps,
  /// have GroupOptions::timeout.
  std::chrono::seconds step_timeout{100};
  bool tensorboard = true;
  double max_grad_norm = 1.0;  ///< 0: no clipping
  int64_t gradient_accumulation_steps =
      1;  ///< micro-batches of an optimizer step; TrainStep::compute runs them all
  /// Steps in a row whose loss or gradient may be not finite: each is skipped by all processes, one more ends
  /// the run.
  int64_t max_skipped_steps = 2;
  AdamWOptions optimizer;
  LrSchedule lr_scheduler;
  double peak_flops = 0;  ///< of each process's device, FLOP/s; the metric mfu needs it. 0: unknown, no mfu
  uint64_t seed = 0;      ///< recorded with the run
  Json config;  ///< the resolved configuration, written to the run's folder and into its checkpoints
};
TrainerOptions parse_trainer_options(Fields& config, const Json& resolved);

}  // namespace mmada
