// SPDX-License-Identifier: MIT
#pragma once

#include "mmada/vision/layers.h"

namespace mmada::vision {

/// The network's forward where no gradient is wanted: channels-last, GroupNorm and SiLU as one op, residual
/// sums inside the convolution, and three pictures' memory per forward in place of a new one per layer (fresh
/// memory costs a page fault every 4 KiB, which on a CPU is as dear as the arithmetic on it).
at::Tensor fused_forward(const Encoder& encoder, const at::Tensor& image_B3HW);
at::Tensor fused_forward(const Decoder& decoder, const at::Tensor& latent_BChw);

}  // namespace mmada::vision
