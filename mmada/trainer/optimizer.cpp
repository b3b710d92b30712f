// SPDX-License-Identifier: MIT
#include "mmada/trainer/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

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
  options.moments_8bit = fields.choice("moments", {"fp32", "8bit"}, "fp32") == "8bit";
  fields.finish();
  return options;
}

namespace {

/// Whether a tensor is precise enough to be its own master.
bool own_master(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble;
}

}  // namespace

TrainedTensor trained_whole(const NamedParameter& parameter) {
  return {parameter.name, parameter.tensor, parameter.kind, parameter.tensor.sizes().vec()};
}

std::vector<TrainedTensor> trained_pieces(const ShardedTransformer& model) {
  std::vector<TrainedTensor> pieces;
  for (const auto& [segment, kind] : model.segments())
    pieces.push_back({segment.name, segment.master, kind, segment.shape, segment.offset});
  return pieces;
}

AdamW::AdamW(std::vector<TrainedTensor> parameters, const AdamWOptions& options, Group group)
    : parameters_(std::move(parameters)), options_(options), group_(std::move(group)) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& tensor = parameters_[i].tensor;
    const ParameterKind kind = parameters_[i].kind;
    MMADA_CHECK(tensor.is_contiguous(), "optimizer: parameter ", parameters_[i].name, " is not contiguous");
    masters_.push_back(own_master(tensor) ? tensor.detach() : tensor.detach().to(at::kFloat));
    add_moments(parameters_[i]);
    if (options_.ema_decay > 0) ema_.push_back(masters_.back().clone());
    const bool decay = kind == ParameterKind::kNorm        ? options_.decay_norms
                       : kind == ParameterKind::kEmbedding ? options_.decay_embeddings
                                                           : true;
    (decay ? decayed_ : undecayed_).push_back(i);
  }
}

/// Of the master added last.
void AdamW::add_moments(const TrainedTensor& parameter) {
  const at::Tensor& master = masters_.back();
  const bool narrow = options_.moments_8bit && parameter.kind != ParameterKind::kNorm;
  exp_avgs_.push_back(narrow ? at::Tensor() : at::zeros_like(master));
  exp_avg_sqs_.push_back(narrow ? at::Tensor() : at::zeros_like(master));
  moments_8bit_.push_back(narrow ? std::optional(moments_8bit(master.numel(), master.device()))
                                 : std::nullopt);
  MMADA_CHECK(!narrow || (master.scalar_type() == at::kFloat && parameter.offset % kMomentBlock == 0),
              "optimizer: ", parameter.name, ": found ", master.scalar_type(), " from element ",
              parameter.offset, ", expected fp32 from a multiple of ", kMomentBlock,
              " for moments in 8 bits");
}

void AdamW::zero_grad() {
  for (const TrainedTensor& parameter : parameters_) parameter.tensor.mutable_grad().reset();
}

double AdamW::grad_norm() const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> grads;
  for (const TrainedTensor& parameter : parameters_)
    if (const at::Tensor& grad = parameter.tensor.grad(); grad.defined())
      grads.push_back(own_master(grad) ? grad : grad.to(at::kFloat));
  double squares = 0;
  if (!grads.empty())
    squares = at::stack(at::_foreach_norm(grads, 2)).to(at::kDouble).square().sum().item<double>();
  return std::sqrt(group_.sum({squares}).front());
}

void AdamW::scale_gradients(double factor) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> grads;
  for (const TrainedTensor& parameter : parameters_)
    if (parameter.tensor.grad().defined()) grads.push_back(parameter.tensor.grad());
  if (!grads.empty()) at::_foreach_mul_(grads, factor);
}

void AdamW::update_group(const std::vector<size_t>& members, double weight_decay, double learning_rate) {
  std::vector<at::Tensor> weights, grads, averages, squares, steps;
  for (const size_t i : members) {
    const at::Tensor& grad = parameters_[i].tensor.grad();
    if (!grad.defined()) continue;
    if (moments_8bit_[i]) {
      adamw_8bit(masters_[i], grad.to(at::kFloat).contiguous(), *moments_8bit_[i],
                 {.learning_rate = learning_rate,
                  .beta1 = options_.beta1,
                  .beta2 = options_.beta2,
                  .epsilon = options_.epsilon,
                  .weight_decay = weight_decay,
                  .step = steps_});
      continue;
    }
    weights.push_back(masters_[i]);
    grads.push_back(grad.to(masters_[i].scalar_type()).contiguous());
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
    if (!own_master(tensor)) tensor.copy_(masters_[i]);
  }
}

void AdamW::forget_moments() {
  const at::NoGradGuard no_grad;
  for (CheckpointTensor& held : state())
    if (held.kind.starts_with("exp_avg")) held.tensor.zero_();
  steps_ = 0;
}

void AdamW::forget_averages() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < ema_.size(); ++i) ema_[i].copy_(masters_[i]);
}

std::vector<CheckpointTensor> AdamW::state() const {
  std::vector<CheckpointTensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const TrainedTensor& parameter = parameters_[i];
    const auto add = [&](const char* kind, const at::Tensor& tensor) {
      state.push_back({parameter.name, kind, tensor, parameter.shape, parameter.offset});
    };
    add("master", masters_[i]);
    if (const auto& narrow = moments_8bit_[i]) {
      const int64_t elements = c10::multiply_integers(parameter.shape);
      const auto add_scale = [&](const char* kind, const at::Tensor& scale) {
        state.push_back({parameter.name + "/scale",
                         kind,
                         scale,
                         {(elements + kMomentBlock - 1) / kMomentBlock},
                         parameter.offset / kMomentBlock});
      };
      add("exp_avg_8bit", narrow->exp_avg);
      add("exp_avg_root_8bit", narrow->exp_avg_root);
      add_scale("exp_avg_8bit", narrow->exp_avg_scale);
      add_scale("exp_avg_root_8bit", narrow->exp_avg_root_scale);
    } else {
      add("exp_avg", exp_avgs_[i]);
      add("exp_avg_sq", exp_avg_sqs_[i]);
    }
    if (has_ema()) add("ema", ema_[i]);
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
