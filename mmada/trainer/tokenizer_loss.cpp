// SPDX-License-Identifier: MIT
#include "mmada/trainer/tokenizer_loss.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"

namespace mmada {

namespace {

/// tanh(z) in place of the sign for pictures drawn with probability 1 - progress / soft_fraction.
at::Tensor soften(const at::Tensor& quantized_BChw, const at::Tensor& latent_BChw, double hard_probability,
                  Rng& rng) {
  std::vector<float> hard(static_cast<size_t>(latent_BChw.size(0)));
  for (float& picture : hard) picture = rng.uniform() < hard_probability ? 1.0f : 0.0f;
  const at::Tensor hard_B = at::tensor(hard).to(latent_BChw.device()).gt(0).view({-1, 1, 1, 1});
  return at::where(hard_B, quantized_BChw, latent_BChw.tanh());
}

}  // namespace

TokenizerLoss tokenizer_loss(const Magvit2& tokenizer, const at::Tensor& image_B3HW,
                             const TokenizerLossOptions& options, double progress, Rng& rng,
                             const Lpips* perceptual) {
  MMADA_CHECK(progress >= 0 && progress <= 1, "tokenizer_loss: progress: found ", progress,
              ", expected 0 to 1");
  MMADA_CHECK(options.lpips == 0 || perceptual != nullptr, "tokenizer_loss: found a weight of ",
              options.lpips, " for LPIPS and no network, expected its weights (lpips_from)");
  const at::Tensor latent = tokenizer.encode_latent(image_B3HW);
  const QuantizedLatent quantized = quantize(latent, options.lfq);
  at::Tensor decoded_from = quantized.latent_BChw;
  if (progress < options.soft_fraction)
    decoded_from = soften(decoded_from, latent, progress / options.soft_fraction, rng);
  const at::Tensor decoded = tokenizer.decode_latent(decoded_from);
  const at::Tensor error = (decoded - image_B3HW).to(at::kFloat);
  TokenizerLoss loss{.total = {},
                     .reconstruction = {},
                     .l1 = error.abs().mean(),
                     .mse = error.square().mean(),
                     .lpips = {},
                     .entropy = quantized.entropy,
                     .commitment = quantized.commitment,
                     .decoded_B3HW = decoded};
  loss.reconstruction = options.l1 * loss.l1 + options.mse * loss.mse;
  if (options.lpips > 0) {
    loss.lpips = perceptual->distance(decoded, image_B3HW).to(at::kFloat).mean();
    loss.reconstruction = loss.reconstruction + options.lpips * loss.lpips;
  }
  loss.total = loss.reconstruction + options.entropy * loss.entropy + options.commitment * loss.commitment;
  return loss;
}

}  // namespace mmada
