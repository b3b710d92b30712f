// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/model/transformer.h"

namespace mmada {

struct AdamWOptions {
  double learning_rate = 5e-5;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.01;
  bool decay_norms = false;  ///< SPEC 10: the reference decays every tensor
  bool decay_embeddings = true;
  double ema_decay = 0.0;  ///< > 0: keep an exponential moving average of the weights
  bool ema_warmup = true;  ///< decay at step s is min(ema_decay, (1 + s) / (10 + s))
};
AdamWOptions parse_adamw(Fields fields);

/// AdamW over fp32 masters. Where a parameter is fp32 it is its own master; elsewhere it receives the rounded
/// master after each step. Groups (decayed or not) follow the kind of module.
class AdamW {
 public:
  AdamW(std::vector<NamedParameter> parameters, const AdamWOptions& options);

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  const AdamWOptions& options() const { return options_; }

  void zero_grad();
  /// Euclidean norm of all gradients, in fp32; NaN or infinite when any gradient is.
  double grad_norm() const;
  void scale_gradients(double factor);
  /// One update with learning rate options().learning_rate * lr_factor. Parameters without gradient stay as
  /// they are.
  void step(double lr_factor);
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  /// Everything that a checkpoint stores, fp32: "NAME/master", "NAME/exp_avg", "NAME/exp_avg_sq", and
  /// "NAME/ema".
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  /// Call after state() was overwritten in place: rounds the masters into lower-precision parameters.
  void publish();
  bool has_ema() const { return !ema_.empty(); }
  /// Runs `work` with the averaged weights in the parameters, then puts the trained ones back.
  void with_ema(const std::function<void()>& work);

 private:
  void update_group(const std::vector<size_t>& members, double weight_decay, double learning_rate);
  void update_ema();

  std::vector<NamedParameter> parameters_;
  AdamWOptions options_;
  std::vector<at::Tensor> masters_, exp_avgs_, exp_avg_sqs_, ema_;
  std::vector<size_t> decayed_, undecayed_;
  int64_t steps_ = 0;
};

}  // namespace mmada
