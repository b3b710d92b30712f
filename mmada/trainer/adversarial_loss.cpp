// SPDX-License-Identifier: MIT
#include "mmada/trainer/adversarial_loss.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "mmada/core/check.h"

namespace mmada {

namespace {

constexpr double kGradientEps = 1e-4, kLargestWeight = 1e4;

/// [B]: the mean logit of each picture.
at::Tensor per_picture(const at::Tensor& logits) { return logits.flatten(1).mean(1); }

at::Tensor gradient_norm(const at::Tensor& loss, const at::Tensor& parameter) {
  return torch::autograd::grad({loss}, {parameter}, {}, /*retain_graph=*/true).front().norm();
}

}  // namespace

AdversarialKind adversarial_kind_from_name(const std::string& name) {
  if (name == "hinge") return AdversarialKind::kHinge;
  if (name == "vanilla") return AdversarialKind::kVanilla;
  MMADA_CHECK(name == "non_saturating", "adversarial loss: found \"", name,
              "\", expected hinge, vanilla or non_saturating");
  return AdversarialKind::kNonSaturating;
}

at::Tensor discriminator_loss(AdversarialKind kind, const at::Tensor& real, const at::Tensor& fake) {
  switch (kind) {
    case AdversarialKind::kHinge:
      return 0.5 * ((1 - real).relu().mean() + (1 + fake).relu().mean());
    case AdversarialKind::kVanilla:
      return 0.5 * (at::softplus(-real).mean() + at::softplus(fake).mean());
    case AdversarialKind::kNonSaturating:
      return at::softplus(-per_picture(real)).mean() + at::softplus(per_picture(fake)).mean();
  }
  throw Error("adversarial loss: found a kind without a discriminator loss");
}

at::Tensor generator_loss(AdversarialKind kind, const at::Tensor& fake) {
  if (kind == AdversarialKind::kNonSaturating) return at::softplus(-per_picture(fake)).mean();
  return -fake.mean();
}

at::Tensor adaptive_weight(const at::Tensor& reconstruction, const at::Tensor& adversarial,
                           const at::Tensor& last_layer) {
  const at::Tensor wanted = gradient_norm(reconstruction, last_layer);
  const at::Tensor found = gradient_norm(adversarial, last_layer);
  return (wanted / (found + kGradientEps)).clamp(0, kLargestWeight).detach();
}

void Lecam::update(const at::Tensor& real, const at::Tensor& fake) {
  const auto real_mean = real.mean().item<double>(), fake_mean = fake.mean().item<double>();
  if (!std::isfinite(real_mean) || !std::isfinite(fake_mean)) return;
  real_ = decay_ * real_ + (1 - decay_) * real_mean;
  fake_ = decay_ * fake_ + (1 - decay_) * fake_mean;
}

at::Tensor Lecam::penalty(const at::Tensor& real, const at::Tensor& fake) const {
  return (real - fake_).relu().square().mean() + (real_ - fake).relu().square().mean();
}

void Lecam::restore(Fields state) {
  constexpr double kAny = std::numeric_limits<double>::max();
  real_ = state.number("real", -kAny, kAny);
  fake_ = state.number("fake", -kAny, kAny);
  state.finish();
}

}  // namespace mmada
