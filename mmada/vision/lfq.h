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

/// Entropies in nats of the codes' probabilities: softmax over all 2^bits codes c of 2 z.c / temperature
/// (Open-MAGVIT2, arXiv 2409.04410; SPEC 2).
struct CodeEntropy {
  at::Tensor per_sample;  ///< mean over positions of each position's entropy, 0 to bits ln 2
  at::Tensor of_mean;     ///< entropy of the probabilities' mean over all positions, 0 to bits ln 2
};
/// Latents [B, bits, h, w]; differentiable; fp32, or fp64 for fp64 latents. The softmax factors into its
/// bits, so that a position's entropy is the sum of its bits', and the mean over positions of the outer
/// product of two half codebooks' probabilities is one matrix product: no buffer is larger than [positions,
/// 2^ceil(bits/2)] and [2^bits], backward too. Mean probabilities below 1e-12 count as that and have gradient
/// 0.
CodeEntropy code_entropy(const at::Tensor& latent_BChw, double temperature);

/// A latent on its way through training: +-1 with the latent's own gradient, and what pulls on the latent.
struct QuantizedLatent {
  at::Tensor latent_BChw;  ///< forward: sign(z); gradient: straight through to z
  /// Low where single positions are certain and the whole batch uses everything equally often, see
  /// LfqEntropy.
  at::Tensor entropy;
  /// mean((sign(z) - z)^2) * (1 + beta).
  at::Tensor commitment;
};

/// What the entropy loss is taken over.
enum class LfqEntropy {
  /// Mean over samples and channels of the entropy of each bit, minus the entropy of the bits' means over the
  /// batch. Bit probabilities are the softmax over -(z-1)^2 and -(z+1)^2, that is sigmoid(4z). As in the
  /// class of
  /// the published 13-bit tokenizer.
  kBits,
  /// sample_entropy * CodeEntropy::per_sample - batch_entropy * CodeEntropy::of_mean: also against codes
  /// whose
  /// bits depend on each other. As in the published training recipe.
  kCodes
};

struct LfqOptions {
  double beta = 0.25;  ///< weight of the commitment term that holds z fixed
  /// SPEC 10, "LFQ commitment": the reference's beta term sees the straight-through output in place of the
  /// sign, so its gradient pulls z the other way and the commitment's gradient is (1 - beta) of its due. Off:
  /// the exact gradient.
  bool straight_through_commitment = false;
  LfqEntropy entropy = LfqEntropy::kBits;
  double temperature = 0.01;    ///< kCodes, as published
  double sample_entropy = 1.0;  ///< kCodes, weight
  double batch_entropy = 1.0;   ///< kCodes, weight
};
QuantizedLatent quantize(const at::Tensor& latent_BChw, const LfqOptions& options = {});

/// How codes are spread over a codebook.
struct CodebookUsage {
  int64_t used = 0;         ///< different codes
  double share = 0.0;       ///< used / codebook size
  double perplexity = 0.0;  ///< e to the entropy of the codes' frequencies, 1 to the codebook size
};
/// Codes int64 of any shape, at least one, in [0, codebook_size).
CodebookUsage codebook_usage(const at::Tensor& codes, int64_t codebook_size);

}  // namespace mmada
