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

}  // namespace mmada
