// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/trainer/checkpoint_saver.h"
#include "mmada/trainer/lr_schedule.h"
#include "mmada/trainer/optimizer.h"
#include "mmada/trainer/straggler.h"
#include "mmada/trainer/train_step.h"

namespace mmada {

/// Losses or gradients that are not finite, step after step: the weights were left as they were. Programs
/// exit with status 65.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

/// How a run goes, whatever it trains.
struct TrainerOptions {
  std::string output_dir;
  int64_t max_train_steps = 0;
  int64_t save_every = 0;  ///< 0: only at the end
  int64_t log_every = 10;
  int64_t evaluate_every = 0;  ///< 0: never
  int64_t checkpoints_total_limit = 0;
  /// Checkpoints are copied into host memory and written while training goes on (CheckpointSaver).
  bool async_save = false;
  std::string resume_from_checkpoint = "latest";  ///< "latest", "none" or a checkpoint's path
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

/// What the surroundings give a run.
struct TrainHooks {
  std::ostream* log = nullptr;                        ///< notices and progress; null: silence
  bool terminal = false;                              ///< log is a terminal
  std::function<bool()> stop = [] { return false; };  ///< asked before each step: save and end
  bool force = false;  ///< start even where the memory planned for the run is not there
  /// Called from another thread when another process of the run stands still: to report it and end this one.
  std::function<void(const LostRank&)> lost = nullptr;
};

struct TrainOutcome {
  int64_t step = 0;        ///< optimizer steps done in the whole run
  std::string checkpoint;  ///< the last one saved; empty when none was
  bool stopped = false;    ///< ended early because hooks.stop() said so
};

/// The one training loop: resume, then per step gradients, clipping, optimizer, metrics, and checkpoints.
///
/// A run interrupted at any step and resumed with the same number of threads and processes gives bit for bit
/// the losses and weights of an uninterrupted one. Rank 0 writes metrics, checkpoints and notices.
class Trainer {
 public:
  Trainer(TrainStep& step, TrainerOptions options, TrainHooks hooks);
  TrainOutcome run();

 private:
  class Interval;
  /// Seconds of the last step that were this process's own work.
  struct OwnTime {
    double data = 0, compute = 0;
  };

  int64_t resume();
  void restore(const std::string& path);
  Json state(int64_t step) const;
  double save(int64_t step);
  std::string find_checkpoint() const;
  MetricValues measured(Interval* interval) const;
  bool meet(int64_t step);
  StepReport one_step(int64_t step, Interval* interval);
  bool accept(const StepReport& report, double norm, int64_t step);
  void record(int64_t step, const Evaluation& found, Metrics* metrics) const;
  void notice(const std::string& text) const;

  TrainStep& step_;
  TrainerOptions options_;
  TrainHooks hooks_;
  Group group_;
  c10::Device device_;
  AdamW optimizer_;
  CheckpointSaver saver_;
  StragglerWatch stragglers_;
  OwnTime own_time_;
  double productive_seconds_ = 0;  ///< of the whole run's steps, those that were lost left out
  int64_t skipped_ = 0;            ///< steps in a row, up to now
};

}  // namespace mmada
