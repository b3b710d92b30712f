// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/distributed/group.h"
#include "mmada/model/sharded_transformer.h"
#include "mmada/ops/adamw_8bit.h"
#include "mmada/trainer/checkpoint.h"

namespace mmada {

struct AdamWOptions {
  double learning_rate = 5e-5;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.01;
  bool decay_norms = false;  ///< SPEC 10: the reference decays every tensor
  bool decay_embeddings = true;
  double ema_decay = 0.0;  ///< > 0: keep an exponential moving average of the weights
  bool ema_warmup = true;  ///< decay at step s is min(ema_decay, (1 + s) / (10 + s))
  /// Keep the moments of all but norms in a byte each, blocks of 256 with a scale (ops/adamw_8bit.h). Pieces
  /// of parameters have to begin where blocks do: ShardPolicy::alignment is 256.
  bool moments_8bit = false;
};
AdamWOptions parse_adamw(Fields fields);

/// What is trained: a parameter, or the piece of one that this process owns.
struct TrainedTensor {
  std::string name;   ///< the parameter's
  at::Tensor tensor;  ///< requires grad
  ParameterKind kind;
  std::vector<int64_t> shape;  ///< of the whole parameter
  int64_t offset = 0;          ///< of the piece in the flattened parameter
};
TrainedTensor trained_whole(const NamedParameter& parameter);
/// This process's pieces of a network.
std::vector<TrainedTensor> trained_pieces(const ShardedTransformer& model);

/// AdamW over fp32 masters (fp64 ones of fp64 parameters). Where a parameter is fp32 it is its own master;
/// elsewhere it receives the rounded master after each step. Groups (decayed or not) follow the kind of
/// module. Processes that own pieces update them apart; the norm alone is common.
class AdamW {
 public:
  AdamW(std::vector<TrainedTensor> parameters, const AdamWOptions& options, Group group = {});

  const std::vector<TrainedTensor>& parameters() const { return parameters_; }
  const AdamWOptions& options() const { return options_; }

  /// Lets all gradients go, and their memory.
  void zero_grad();
  /// Euclidean norm of all processes' gradients together, the same number in each; NaN or infinite when any
  /// gradient is.
  double grad_norm() const;
  void scale_gradients(double factor);
  /// One update with learning rate options().learning_rate * lr_factor. Parameters without gradient stay as
  /// they are.
  void step(double lr_factor);
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  /// Everything of this process that a checkpoint stores: kinds "master", "exp_avg", "exp_avg_sq", and "ema";
  /// of moments in 8 bits "exp_avg_8bit", "exp_avg_root_8bit" and, under NAME/scale, their scales.
  std::vector<CheckpointTensor> state() const;
  /// Call after state() was overwritten in place: rounds the masters into lower-precision parameters.
  void publish();
  /// Without moments and steps, as at a run's beginning, with the weights there are.
  void forget_moments();
  /// Averages begin with the weights there are.
  void forget_averages();
  bool has_ema() const { return !ema_.empty(); }
  /// Runs `work` with the averaged weights in the parameters, then puts the trained ones back.
  void with_ema(const std::function<void()>& work);

 private:
  void add_moments(const TrainedTensor& parameter);
  void update_group(const std::vector<size_t>& members, double weight_decay, double learning_rate);
  void update_ema();

  std::vector<TrainedTensor> parameters_;
  AdamWOptions options_;
  Group group_;
  std::vector<at::Tensor> masters_, ema_;
  std::vector<at::Tensor> exp_avgs_, exp_avg_sqs_;  ///< undefined where the moments are in 8 bits
  std::vector<std::optional<Moments8bit>> moments_8bit_;
  std::vector<size_t> decayed_, undecayed_;
  int64_t steps_ = 0;
};

}  // namespace mmada
