// SPDX-License-Identifier: MIT
#include "mmada/vision/lfq.h"

#include <ATen/ATen.h>

#include <cmath>

#include "mmada/core/check.h"
#include "mmada/ops/lfq.h"

namespace mmada {

at::Tensor latent_to_codes(const at::Tensor& latent_BChw) { return lfq_pack(latent_BChw); }

at::Tensor codes_to_latent(const at::Tensor& codes_Bhw, int64_t bits, at::ScalarType dtype) {
  MMADA_CHECK(codes_Bhw.dim() == 3 && codes_Bhw.scalar_type() == at::kLong, "image codes: found shape ",
              codes_Bhw.sizes(), " of ", codes_Bhw.scalar_type(), ", expected int64 [B, h, w]");
  const int64_t size = int64_t{1} << bits;
  MMADA_CHECK(codes_Bhw.numel() == 0 ||
                  (codes_Bhw.min().item<int64_t>() >= 0 && codes_Bhw.max().item<int64_t>() < size),
              "image codes: found ", codes_Bhw.min().item<int64_t>(), " to ", codes_Bhw.max().item<int64_t>(),
              ", expected 0 to ", size - 1);
  return lfq_unpack(codes_Bhw, bits, dtype);
}

namespace {

/// Entropy of probabilities that are means: they can only vanish by underflow, and the bound keeps 0 log 0
/// and its gradient at 0.
at::Tensor entropy_of_means(const at::Tensor& mean) {
  const at::Tensor p = mean.clamp_min(1e-12);
  return -(p * p.log()).sum();
}

/// Of bits given by their logits, element by element; finite for logits of any size.
at::Tensor bit_entropies(const at::Tensor& logit) {
  return -(logit.sigmoid() * at::log_sigmoid(logit) + logit.neg().sigmoid() * at::log_sigmoid(-logit));
}

at::Tensor bit_entropy(const at::Tensor& latent_BChw) {
  const at::Tensor logit = latent_BChw.to(at::kFloat) * 4;
  const auto mean_C = [](const at::Tensor& p_BChw) { return p_BChw.mean(at::IntArrayRef{0, 2, 3}); };
  const at::Tensor of_mean =
      entropy_of_means(at::stack({mean_C(logit.sigmoid()), mean_C(logit.neg().sigmoid())}));
  return bit_entropies(logit).mean() - of_mean / static_cast<double>(logit.size(1));
}

/// Probabilities [N, 2^C] of the codes of some channels, from the probabilities of their bits.
at::Tensor part_probabilities(const at::Tensor& logit_NC) {
  const at::Tensor one_NC = logit_NC.sigmoid(), zero_NC = logit_NC.neg().sigmoid();
  at::Tensor p_NK = at::ones({logit_NC.size(0), 1}, logit_NC.options());
  for (int64_t channel = 0; channel < logit_NC.size(1); ++channel) {
    const auto times = [&](const at::Tensor& bit_NC) { return p_NK * bit_NC.narrow(1, channel, 1); };
    p_NK = at::stack({times(zero_NC), times(one_NC)}, 2).flatten(1);
  }
  return p_NK;
}

}  // namespace

CodeEntropy code_entropy(const at::Tensor& latent_BChw, double temperature) {
  MMADA_CHECK(latent_BChw.dim() == 4 && temperature > 0, "code entropy: found latents of shape ",
              latent_BChw.sizes(), " and temperature ", temperature,
              ", expected [B, bits, h, w] and a temperature above 0");
  const at::Tensor z = latent_BChw.scalar_type() == at::kDouble ? latent_BChw : latent_BChw.to(at::kFloat);
  const int64_t bits = z.size(1), half = (bits + 1) / 2;
  // the two values of a channel differ by 2 in c: their logits by 4 z / temperature
  const at::Tensor logit_NC = z.permute({0, 2, 3, 1}).reshape({-1, bits}) * (4 / temperature);
  const at::Tensor high_NK = part_probabilities(logit_NC.narrow(1, 0, half));
  const at::Tensor low_NL = part_probabilities(logit_NC.narrow(1, half, bits - half));
  const at::Tensor mean_KL = high_NK.t().matmul(low_NL) / static_cast<double>(logit_NC.size(0));
  return {bit_entropies(logit_NC).sum(1).mean(), entropy_of_means(mean_KL)};
}

namespace {

at::Tensor entropy_loss(const at::Tensor& latent_BChw, const LfqOptions& options) {
  if (options.entropy == LfqEntropy::kBits) return bit_entropy(latent_BChw);
  const auto [per_sample, of_mean] = code_entropy(latent_BChw, options.temperature);
  return options.sample_entropy * per_sample - options.batch_entropy * of_mean;
}

}  // namespace

QuantizedLatent quantize(const at::Tensor& latent_BChw, const LfqOptions& options) {
  const at::Tensor z = latent_BChw;
  const at::Tensor fixed_z = z.detach();
  const at::Tensor sign = at::where(fixed_z.gt(0), at::ones({}, z.options()), -at::ones({}, z.options()));
  const at::Tensor quantized = z + (sign - fixed_z);
  const at::Tensor pulled = options.straight_through_commitment ? quantized : sign;
  const at::Tensor commitment =
      (sign - z).square().mean() + options.beta * (pulled - fixed_z).square().mean();
  return {quantized, entropy_loss(z, options), commitment};
}

CodebookUsage codebook_usage(const at::Tensor& codes, int64_t codebook_size) {
  MMADA_CHECK(codes.numel() > 0 && codes.max().item<int64_t>() < codebook_size, "codebook usage: found ",
              codes.numel(), " codes, expected at least one, each below ", codebook_size);
  const at::Tensor counts = at::bincount(codes.flatten().cpu(), {}, codebook_size).to(at::kDouble);
  const int64_t used = counts.gt(0).sum().item<int64_t>();
  const double entropy = entropy_of_means(counts / static_cast<double>(codes.numel())).item<double>();
  return {.used = used,
          .share = static_cast<double>(used) / static_cast<double>(codebook_size),
          .perplexity = std::exp(entropy)};
}

}  // namespace mmada
