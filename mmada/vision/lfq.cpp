// SPDX-License-Identifier: MIT
#include "mmada/vision/lfq.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"

namespace mmada {

namespace {

/// 2^(bits-1), ..., 2, 1 as a column that broadcasts over [B, bits, h, w].
at::Tensor bit_shifts(int64_t bits, const at::Device& device) {
  return at::arange(bits - 1, -1, -1, at::TensorOptions(at::kLong).device(device)).view({1, bits, 1, 1});
}

}  // namespace

at::Tensor latent_to_codes(const at::Tensor& latent_BChw) {
  const at::Tensor bits = latent_BChw.gt(0).to(at::kLong);
  return at::bitwise_left_shift(bits, bit_shifts(latent_BChw.size(1), latent_BChw.device())).sum(1);
}

at::Tensor codes_to_latent(const at::Tensor& codes_Bhw, int64_t bits, at::ScalarType dtype) {
  MMADA_CHECK(codes_Bhw.dim() == 3 && codes_Bhw.scalar_type() == at::kLong, "image codes: found shape ",
              codes_Bhw.sizes(), " of ", codes_Bhw.scalar_type(), ", expected int64 [B, h, w]");
  const int64_t size = int64_t{1} << bits;
  MMADA_CHECK(codes_Bhw.numel() == 0 ||
                  (codes_Bhw.min().item<int64_t>() >= 0 && codes_Bhw.max().item<int64_t>() < size),
              "image codes: found ", codes_Bhw.min().item<int64_t>(), " to ", codes_Bhw.max().item<int64_t>(),
              ", expected 0 to ", size - 1);
  const at::Tensor bit =
      at::bitwise_right_shift(codes_Bhw.unsqueeze(1), bit_shifts(bits, codes_Bhw.device())).bitwise_and(1);
  return bit.to(dtype).mul(2).sub(1);
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
