// SPDX-License-Identifier: MIT
#include "mmada/vision/lfq.h"

#include <ATen/ATen.h>

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

at::Tensor bit_entropy(const at::Tensor& latent_BChw) {
  const at::Tensor logit = latent_BChw.to(at::kFloat) * 4;
  const at::Tensor one = logit.sigmoid(), zero = logit.neg().sigmoid();
  const at::Tensor per_sample = -(one * at::log_sigmoid(logit) + zero * at::log_sigmoid(-logit)).mean();
  // a mean can only vanish by underflow: the bound keeps 0 log 0 and its gradient at 0
  const auto plogp = [](const at::Tensor& p_BChw) {
    const at::Tensor mean_C = p_BChw.mean(at::IntArrayRef{0, 2, 3}).clamp_min(1e-12);
    return mean_C * mean_C.log();
  };
  const at::Tensor of_mean = -(plogp(one) + plogp(zero)).mean();
  return per_sample - of_mean;
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
  return {quantized, bit_entropy(z), commitment};
}

}  // namespace mmada
