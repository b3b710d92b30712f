// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include "mmada/core/json.h"

namespace mmada {

/// Losses of a discriminator and of what it judges (SPEC 2; VQGAN, arXiv 2012.09841, and Open-MAGVIT2, arXiv
/// 2409.04410). Logits are [B, ...], high for pictures ("real"); losses are scalars.
enum class AdversarialKind {
  kHinge,         ///< (mean max(0, 1 - real) + mean max(0, 1 + fake)) / 2; generator: -mean fake
  kVanilla,       ///< (mean softplus(-real) + mean softplus(fake)) / 2; generator: -mean fake
  kNonSaturating  ///< of each picture's mean logit: mean softplus(-real) + mean softplus(fake); generator:
                  ///< mean softplus(-fake)
};
AdversarialKind adversarial_kind_from_name(
    const std::string& name);  ///< "hinge", "vanilla", "non_saturating"

at::Tensor discriminator_loss(AdversarialKind kind, const at::Tensor& real, const at::Tensor& fake);
at::Tensor generator_loss(AdversarialKind kind, const at::Tensor& fake);

/// The weight at which the adversarial loss pulls at the decoder as strongly as the reconstruction loss does
/// (VQGAN, equation 7): |d reconstruction / d last_layer| / (|d adversarial / d last_layer| + 1e-4), at most
/// 1e4, without gradient. Both losses keep their graphs.
at::Tensor adaptive_weight(const at::Tensor& reconstruction, const at::Tensor& adversarial,
                           const at::Tensor& last_layer);

/// LeCam regularisation (arXiv 2104.03310): holds the discriminator's logits near where they were.
class Lecam {
 public:
  explicit Lecam(double decay) : decay_(decay) {}

  /// Moves the averages (0 at first) by 1 - decay towards the logits' means; not where a mean is not finite,
  /// for such a step is skipped by the trainer.
  void update(const at::Tensor& real, const at::Tensor& fake);
  /// mean max(0, real - average fake)^2 + mean max(0, average real - fake)^2.
  at::Tensor penalty(const at::Tensor& real, const at::Tensor& fake) const;
  double real() const { return real_; }
  double fake() const { return fake_; }
  Json state() const { return {{"real", real_}, {"fake", fake_}}; }
  void restore(Fields state);

 private:
  double decay_;
  double real_ = 0.0, fake_ = 0.0;
};

}  // namespace mmada
