// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include "mmada/core/rng.h"
#include "mmada/vision/lfq.h"
#include "mmada/vision/magvit2.h"

namespace mmada {

/// Weights of the image tokenizer's training loss (SPEC 2: pixel, entropy and commitment terms).
struct TokenizerLossOptions {
  double l1 = 1.0;          ///< mean absolute pixel error
  double mse = 0.0;         ///< mean squared pixel error
  double entropy = 0.1;     ///< of the bits, see QuantizedLatent
  double commitment = 0.1;  ///< of the latent to its code
  LfqOptions lfq = {};
  /// Share of the training during which a picture may take tanh(z) instead of sign(z) into the decoder: with
  /// probability 1 at the start, falling linearly to 0 at this share. 0: always the sign.
  double soft_fraction = 0.0;
};

/// Scalars that share the autograd graph; `total` is the weighted sum of the others.
struct TokenizerLoss {
  at::Tensor total;
  at::Tensor l1, mse, entropy, commitment;  ///< unweighted; entropy and commitment as in QuantizedLatent
};

/// The loss of reconstructing a batch of pictures in [-1, 1]. `progress` in [0, 1] is the share of the
/// training done; `rng` is drawn from once per picture while progress < soft_fraction, and not at all
/// afterwards.
TokenizerLoss tokenizer_loss(const Magvit2& tokenizer, const at::Tensor& image_B3HW,
                             const TokenizerLossOptions& options, double progress, Rng& rng);

}  // namespace mmada
