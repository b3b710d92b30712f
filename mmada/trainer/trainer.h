// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/trainer/checkpoint_saver.h"
#include "mmada/trainer/optimizer.h"
#include "mmada/trainer/step_interval.h"
#include "mmada/trainer/straggler.h"
#include "mmada/trainer/train_step.h"
#include "mmada/trainer/trainer_options.h"

namespace mmada {

/// Losses or gradients that are not finite, step after step: the weights were left as they were. Programs
/// exit with status 65.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

/// What the surroundings give a run.
struct TrainHooks {
  std::ostream* log = nullptr;  ///< notices and progress; null: silence
  bool terminal = false;        ///< log is a terminal
  /// Asked before each step: save and end. Where a signal is the reason, see SignalStack.
  std::function<bool()> stop = [] { return false; };
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
  /// Seconds of the last step that were this process's own work.
  struct OwnTime {
    double data = 0, compute = 0;
  };

  int64_t resume();
  void restore(const std::string& path, int64_t step);
  void restore_state(const Json& state, const std::string& path);
  std::optional<std::string> verify(const std::string& path) const;
  std::vector<CheckpointTensor> tensors() const;
  Json state(int64_t step) const;
  double save(int64_t step);
  std::string find_checkpoint() const;
  MetricValues measured(StepInterval* interval) const;
  bool meet(int64_t step);
  bool prepare(int64_t step);
  bool evaluates(int64_t step) const;
  void look(int64_t step, Metrics* metrics) const;
  StepReport one_step(int64_t step, StepInterval* interval);
  bool accept(const StepReport& report, double norm, int64_t step);
  void pass_on(int64_t step, const std::vector<std::string>& notices) const;
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
