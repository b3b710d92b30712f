// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// Lookup-free quantisation (SPEC 2): channel c of a latent is one bit, 1 where it is above zero; channel 0
/// is the most significant bit of the code.

/// Latents [B, bits, h, w] -> codes int64 [B, h, w].
at::Tensor latent_to_codes(const at::Tensor& latent_BChw);
/// Codes int64 [B, h, w] -> latents of +1 and -1 [B, bits, h, w]; codes outside [0, 2^bits) are an error.
at::Tensor codes_to_latent(const at::Tensor& codes_Bhw, int64_t bits, at::ScalarType dtype);

/// A latent on its way through training: +-1 with the latent's own gradient, and what pulls on the latent.
struct QuantizedLatent {
  at::Tensor latent_BChw;  ///< forward: sign(z); gradient: straight through to z
  /// Mean over samples and channels of the entropy of each bit, minus the entropy of the bits' means over the
  /// batch: low where single bits are certain and the two values of each channel are equally often used. Bit
  /// probabilities are the softmax over -(z-1)^2 and -(z+1)^2, that is sigmoid(4z).
  at::Tensor entropy;
  /// mean((sign(z) - z)^2) * (1 + beta).
  at::Tensor commitment;
};

struct LfqOptions {
  double beta = 0.25;  ///< weight of the commitment term that holds z fixed
  /// SPEC 10, "LFQ commitment": the reference's beta term sees the straight-through output in place of the
  /// sign, so its gradient pulls z the other way and the commitment's gradient is (1 - beta) of its due. Off:
  /// the exact gradient.
  bool straight_through_commitment = false;
};
QuantizedLatent quantize(const at::Tensor& latent_BChw, const LfqOptions& options = {});

}  // namespace mmada
