// SPDX-License-Identifier: MIT
#include "mmada/trainer/adversary.h"

#include <ATen/ATen.h>

namespace mmada {

AdversarialOptions parse_adversarial(Fields fields) {
  AdversarialOptions options;
  options.kind =
      adversarial_kind_from_name(fields.choice("loss", {"hinge", "vanilla", "non_saturating"}, "hinge"));
  options.adaptive = fields.boolean("adaptive", options.adaptive);
  options.weight = fields.number("weight", 0.0, 1e6, options.adaptive ? 0.8 : options.weight);
  options.start_step = fields.integer("start_step", 0, int64_t{1} << 40, options.start_step);
  options.lecam = fields.number("lecam", 0.0, 1e6, options.lecam);
  options.lecam_decay = fields.number("lecam_decay", 0.0, 1.0, options.lecam_decay);
  options.discriminator.channels = fields.integer("channels", 1, 4096, options.discriminator.channels);
  options.discriminator.layers = fields.integer("layers", 1, 8, options.discriminator.layers);
  fields.finish();
  return options;
}

Adversary::Adversary(const AdversarialOptions& options, at::TensorOptions tensor_options, uint64_t seed)
    : options_(options), discriminator_(options.discriminator, tensor_options), lecam_(options.lecam_decay) {
  initialize(discriminator_, seed);
}

at::Tensor Adversary::generator_term(const at::Tensor& decoded_B3HW, const at::Tensor& reconstruction,
                                     const at::Tensor& last_layer, MetricValues* parts) const {
  const at::Tensor logits = discriminator_.frozen().forward(decoded_B3HW).to(at::kFloat);
  const at::Tensor loss = generator_loss(options_.kind, logits);
  parts->emplace_back("loss/adversarial", loss.item<double>());
  if (!options_.adaptive) return options_.weight * loss;
  const at::Tensor weight = options_.weight * adaptive_weight(reconstruction, loss, last_layer);
  parts->emplace_back("adversarial_weight", weight.item<double>());
  return weight * loss;
}

at::Tensor Adversary::discriminator_term(const at::Tensor& image_B3HW, const at::Tensor& decoded_B3HW,
                                         MetricValues* parts) {
  const at::Tensor real = discriminator_.forward(image_B3HW).to(at::kFloat);
  const at::Tensor fake = discriminator_.forward(decoded_B3HW.detach()).to(at::kFloat);
  at::Tensor loss = discriminator_loss(options_.kind, real, fake);
  parts->emplace_back("loss/discriminator", loss.item<double>());
  parts->emplace_back("discriminator/real", real.mean().item<double>());
  parts->emplace_back("discriminator/fake", fake.mean().item<double>());
  if (options_.lecam == 0) return loss;
  lecam_.update(real, fake);  // before the penalty, as published
  const at::Tensor penalty = lecam_.penalty(real, fake);
  parts->emplace_back("loss/lecam", penalty.item<double>());
  return loss + options_.lecam * penalty;
}

std::vector<TrainedTensor> Adversary::parameters() const {
  std::vector<TrainedTensor> parameters;
  for (const auto& [name, tensor] : discriminator_.parameters())
    parameters.push_back(trained_whole({"discriminator." + name, tensor,
                                        tensor.dim() == 1 ? ParameterKind::kNorm : ParameterKind::kLinear}));
  return parameters;
}

void Adversary::restore(Fields state) {
  lecam_.restore(state.object("lecam"));
  state.finish();
}

}  // namespace mmada
