// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// Latents [B, bits, h, w] -> codes int64 [B, h, w] (torch op mmada::lfq_pack): one bit per channel, 1 where
/// the latent is above zero, channel 0 the most significant.
at::Tensor lfq_pack(const at::Tensor& latent_BChw);

/// Codes int64 [B, h, w] -> latents of +1 and -1 [B, bits, h, w] (torch op mmada::lfq_unpack). Bits of the
/// codes beyond `bits` are not looked at.
at::Tensor lfq_unpack(const at::Tensor& codes_Bhw, int64_t bits, at::ScalarType dtype);

}  // namespace mmada
