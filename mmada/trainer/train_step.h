// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/distributed/group.h"
#include "mmada/formats/image_file.h"
#include "mmada/trainer/checkpoint.h"
#include "mmada/trainer/metrics.h"
#include "mmada/trainer/optimizer.h"

namespace mmada {

/// What one optimizer step reported.
struct StepReport {
  double loss = 0.0;          ///< the total that was differentiated
  MetricValues parts;         ///< its terms, without coefficients
  int64_t rows = 0;           ///< rows or pictures of the step
  int64_t tokens = 0;         ///< positions (of rows) or image tokens (of pictures) of the step
  int64_t padded_tokens = 0;  ///< the same of rows at their full lengths; 0: rows have no padding
  double flops = 0;           ///< model FLOPs (training_flops) of the step in all processes; 0: not counted
  double data_seconds = 0;    ///< of the step's time, until its batch was there; in this process
  bool update = true;         ///< false: there was nothing to learn; weights and optimizer stay as they are
  std::vector<std::string> notices = {};  ///< lines for the log
};

/// A run cannot go on although nothing is wrong with its weights: a checkpoint is saved before it ends.
/// Thrown by prepare(), evaluate() and validate(), in all processes alike.
class RunEnded : public Error {
 public:
  using Error::Error;
};

/// What a checkpoint's adapters stand on is not this run's base: they are of no use upon another one.
class OtherBase : public Error {
 public:
  using Error::Error;
};

/// What is measured now and then.
struct Evaluation {
  MetricValues values;
  std::vector<std::pair<std::string, Image>> images;            ///< for TensorBoard
  std::vector<std::pair<std::string, std::string>> texts = {};  ///< for TensorBoard, in Markdown
  std::vector<std::string> notices = {};                        ///< lines for the log
};

/// What a trainer trains: the parameters, how a step's gradients come about, and what is saved. All processes
/// of the group call the same functions in the same order, and get the same numbers.
class TrainStep {
 public:
  virtual ~TrainStep() = default;

  /// Trained tensors of this process; they require grad.
  virtual std::vector<TrainedTensor> parameters() const = 0;
  virtual const Group& group() const = 0;
  /// What has to be there before the step is computed, and takes long. `stop` is asked now and then, by all
  /// processes, and where it says so the result is false: nothing has changed, and the run ends here.
  virtual bool prepare(int64_t, const std::function<bool()>&) { return true; }
  /// Forward and backward of one whole optimizer step (every micro-batch): gradients add up in the
  /// parameters. What it draws depends on the step's number and on the data's position alone.
  virtual StepReport compute(int64_t step) = 0;
  /// Everything beside parameters and optimizer that later steps depend on: data positions, running
  /// estimates.
  virtual Json state() const = 0;
  /// Throws Error; OtherBase where that is the reason.
  virtual void restore(const Json& state) = 0;
  /// Tensors that are saved beside those of parameters() and the optimizer, and read back in place.
  virtual std::vector<CheckpointTensor> tensors() const { return {}; }
  /// Copies the weights as they are now, and returns what writes the copies as a model in its published
  /// layout into a new or existing directory, in rank 0: another thread may call it while training goes on,
  /// and it has written everything when it returns.
  virtual std::function<void()> stage_model(const std::string& directory) = 0;
  /// stage_model() and its writing at once; throws in all processes where it failed in one.
  void save_model(const std::string& directory) { group().agree("saving the model", stage_model(directory)); }
  /// Measures the current weights; changes no state. What was found is rank 0's.
  virtual Evaluation evaluate(int64_t step) = 0;
  /// Whether validate() is wanted after this step.
  virtual bool validates(int64_t) const { return false; }
  /// Shows what the current weights draw and say; changes no state. Rank 0 writes files into the directory.
  virtual Evaluation validate(int64_t, const std::string&) { return {}; }
};

}  // namespace mmada
