// SPDX-License-Identifier: MIT
#include "mmada/trainer/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "mmada/core/check.h"

namespace mmada {

AdamWOptions parse_adamw(Fields fields) {
  AdamWOptions options;
  options.learning_rate = fields.number("learning_rate", 0.0, 10.0, options.learning_rate);
  options.beta1 = fields.number("beta1", 0.0, 1.0, options.beta1);
  options.beta2 = fields.number("beta2", 0.0, 1.0, options.beta2);
  options.epsilon = fields.number("epsilon", 0.0, 1.0, options.epsilon);
  options.weight_decay = fields.number("weight_decay", 0.0, 10.0, options.weight_decay);
  options.decay_norms = fields.boolean("decay_norms", options.decay_norms);
  options.decay_embeddings = fields.boolean("decay_embeddings", options.decay_embeddings);
  options.ema_decay = fields.number("ema_decay", 0.0, 1.0, options.ema_decay);
  options.ema_warmup = fields.boolean("ema_warmup", options.ema_warmup);
  fields.finish();
  return options;
}

AdamW::AdamW(std::vector<NamedParameter> parameters, const AdamWOptions& options)
    : parameters_(std::move(parameters)), options_(options) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto& [name, tensor, kind] = parameters_[i];
    MMADA_CHECK(tensor.is_contiguous(), "optimizer: parameter ", name, " is not contiguous");
    masters_.push_back(tensor.scalar_type() == at::kFloat ? tensor.detach() : tensor.detach().to(at::kFloat));
    exp_avgs_.push_back(at::zeros_like(masters_.back()));
    exp_avg_sqs_.push_back(at::zeros_like(masters_.back()));
    if (options_.ema_decay > 0) ema_.push_back(masters_.back().clone());
    const bool decay = kind == ParameterKind::kNorm        ? options_.decay_norms
                       : kind == ParameterKind::kEmbedding ? options_.decay_embeddings
                                                           : true;
    (decay ? decayed_ : undecayed_).push_back(i);
  }
}

void AdamW::zero_grad() {
  for (const NamedParameter& parameter : parameters_) parameter.tensor.mutable_grad() = at::Tensor();
}

double AdamW::grad_norm() const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> grads;
  for (const NamedParameter& parameter : parameters_)
    if (parameter.tensor.grad().defined()) grads.push_back(parameter.tensor.grad().to(at::kFloat));
  if (grads.empty()) return 0.0;
  return at::stack(at::_foreach_norm(grads, 2)).norm().item<double>();
}

void AdamW::scale_gradients(double factor) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> grads;
  for (const NamedParameter& parameter : parameters_)
    if (parameter.tensor.grad().defined()) grads.push_back(parameter.tensor.grad());
  if (!grads.empty()) at::_foreach_mul_(grads, factor);
}

void AdamW::update_group(const std::vector<size_t>& members, double weight_decay, double learning_rate) {
  std::vector<at::Tensor> weights, grads, averages, squares, steps;
  for (const size_t i : members) {
    const at::Tensor& grad = parameters_[i].tensor.grad();
    if (!grad.defined()) continue;
    weights.push_back(masters_[i]);
    grads.push_back(grad.to(at::kFloat).contiguous());
    averages.push_back(exp_avgs_[i]);
    squares.push_back(exp_avg_sqs_[i]);
    steps.push_back(at::full({}, static_cast<double>(steps_), masters_[i].options()));
  }
  if (weights.empty()) return;
  at::_fused_adamw_(weights, grads, averages, squares, /*max_exp_avg_sqs=*/{}, steps, learning_rate,
                    options_.beta1, options_.beta2, weight_decay, options_.epsilon, /*amsgrad=*/false,
                    /*maximize=*/false);
}

void AdamW::update_ema() {
  const auto s = static_cast<double>(steps_);
  const double decay =
      options_.ema_warmup ? std::min(options_.ema_decay, (1.0 + s) / (10.0 + s)) : options_.ema_decay;
  at::_foreach_lerp_(ema_, masters_, 1.0 - decay);
}

void AdamW::step(double lr_factor) {
  const at::NoGradGuard no_grad;
  ++steps_;
  const double learning_rate = options_.learning_rate * lr_factor;
  update_group(decayed_, options_.weight_decay, learning_rate);
  update_group(undecayed_, 0.0, learning_rate);
  publish();
  if (has_ema()) update_ema();
}

void AdamW::publish() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor tensor = parameters_[i].tensor;
    if (tensor.scalar_type() != at::kFloat) tensor.copy_(masters_[i]);
  }
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i].name;
    state.emplace_back(name + "/master", masters_[i]);
    state.emplace_back(name + "/exp_avg", exp_avgs_[i]);
    state.emplace_back(name + "/exp_avg_sq", exp_avg_sqs_[i]);
    if (has_ema()) state.emplace_back(name + "/ema", ema_[i]);
  }
  return state;
}

void AdamW::with_ema(const std::function<void()>& work) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> trained;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor tensor = parameters_[i].tensor;
    trained.push_back(tensor.detach().clone());
    tensor.copy_(ema_[i]);
  }
  const auto restore = [&] {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      at::Tensor tensor = parameters_[i].tensor;
      tensor.copy_(trained[i]);
    }
  };
  try {
    work();
  } catch (...) {
    restore();
    throw;
  }
  restore();
}

}  // namespace mmada
