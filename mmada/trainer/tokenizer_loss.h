// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "mmada/core/rng.h"
#include "mmada/trainer/adversary.h"
#include "mmada/vision/lfq.h"
#include "mmada/vision/lpips.h"
#include "mmada/vision/magvit2.h"

namespace mmada {

/// The image tokenizer's training loss (SPEC 2): weights of its terms, and what they need.
struct TokenizerLossOptions {
  double l1 = 1.0;              ///< mean absolute pixel error
  double mse = 0.0;             ///< mean squared pixel error
  double lpips = 0.0;           ///< mean perceptual distance
  std::string lpips_from = {};  ///< folder of its weights, see load_lpips
  double entropy = 0.1;         ///< of bits or codes, see LfqOptions
  double commitment = 0.1;      ///< of the latent to its code
  LfqOptions lfq = {};
  /// Share of the training during which a picture may take tanh(z) instead of sign(z) into the decoder: with
  /// probability 1 at the start, falling linearly to 0 at this share. 0: always the sign.
  double soft_fraction = 0.0;
  std::optional<AdversarialOptions> adversarial = {};  ///< nothing: no discriminator
};

/// Scalars that share the autograd graph; `total` is the weighted sum of the terms.
struct TokenizerLoss {
  at::Tensor total;
  at::Tensor reconstruction;       ///< the weighted sum of l1, mse and lpips
  at::Tensor l1, mse;              ///< the terms, unweighted
  at::Tensor lpips;                ///< undefined where its weight is 0
  at::Tensor entropy, commitment;  ///< as in QuantizedLatent
  at::Tensor decoded_B3HW;         ///< not clamped, for a discriminator to judge
};

/// The loss of reconstructing a batch of pictures in [-1, 1], without the adversarial term. `progress` in [0,
/// 1] is the share of the training done; `rng` is drawn from once per picture while progress < soft_fraction,
/// and not at all afterwards. `perceptual` is needed where options.lpips > 0.
TokenizerLoss tokenizer_loss(const Magvit2& tokenizer, const at::Tensor& image_B3HW,
                             const TokenizerLossOptions& options, double progress, Rng& rng,
                             const Lpips* perceptual = nullptr);

}  // namespace mmada
