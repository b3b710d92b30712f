// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "mmada/core/json.h"
#include "mmada/trainer/adversarial_loss.h"
#include "mmada/trainer/metrics.h"
#include "mmada/trainer/optimizer.h"
#include "mmada/vision/patch_discriminator.h"

namespace mmada {

/// Adversarial training of the image tokenizer (SPEC 2); the defaults are the published ones.
struct AdversarialOptions {
  AdversarialKind kind = AdversarialKind::kHinge;
  double weight = 0.1;  ///< of the generator's loss; a factor on the adaptive weight where that is on
  bool adaptive = false;
  int64_t start_step = 0;  ///< optimizer step at which discriminator and loss set in
  double lecam = 0.05;     ///< weight of the regularisation; 0: none
  double lecam_decay = 0.999;
  PatchDiscriminatorConfig discriminator;
};
AdversarialOptions parse_adversarial(Fields fields);

/// The tokenizer's opponent: a discriminator with its losses and running estimates.
///
/// Both sides learn in one optimizer step. The published training takes the generator's gradient, steps,
/// takes the discriminator's gradient on the same reconstructions, steps; as neither gradient sees the
/// other's update, both taken first and one step over all parameters is the same.
class Adversary {
 public:
  /// Discriminator of the given dtype and device, initialised from the seed.
  Adversary(const AdversarialOptions& options, at::TensorOptions tensor_options, uint64_t seed);

  bool active(int64_t step) const { return step >= options_.start_step; }
  /// The weighted loss that makes reconstructions look real; no gradient reaches the discriminator.
  /// `reconstruction` is the loss that an adaptive weight is measured against, at the decoder's `last_layer`.
  at::Tensor generator_term(const at::Tensor& decoded_B3HW, const at::Tensor& reconstruction,
                            const at::Tensor& last_layer, MetricValues* parts) const;
  /// The discriminator's loss with its regularisation, whose estimates move; no gradient reaches the decoder.
  at::Tensor discriminator_term(const at::Tensor& image_B3HW, const at::Tensor& decoded_B3HW,
                                MetricValues* parts);

  std::vector<TrainedTensor> parameters() const;  ///< named "discriminator.main.0.weight" and so on
  Json state() const { return {{"lecam", lecam_.state()}}; }
  void restore(Fields state);

 private:
  AdversarialOptions options_;
  PatchDiscriminator discriminator_;
  Lecam lecam_;
};

}  // namespace mmada
