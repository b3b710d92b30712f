// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/common/context.h"
#include "kernels/common/float_types.h"

namespace mmada::kernels {

/// y = silu(GroupNorm(x)): per sample and group of channels, (x - mean) / sqrt(variance + eps) * weight +
/// bias, then silu. Channels-last: x and y are [batch, positions, channels], dense; y may be x.
///
/// Two passes over x, one write: 12 bytes per fp32 element. Moments are sums of x - x(first element of the
/// group), so that a large common offset costs no precision; fp32 over 64 positions, then fp64 in a fixed
/// order.
struct GroupNormSiluParams {
  const void* x = nullptr;
  void* y = nullptr;
  const float* weight_C = nullptr;
  const float* bias_C = nullptr;
  FloatType type = FloatType::kF32;  ///< of x and y
  int64_t batch = 0, positions = 0, channels = 0;
  int64_t groups = 0;  ///< divides channels
  float eps = 0;
};

size_t group_norm_silu_workspace_size(const GroupNormSiluParams& params);
/// CPU: fp32 and bf16.
[[nodiscard]] Status group_norm_silu(const GroupNormSiluParams& params, const Context& context);
/// CUDA: fp32, bf16 and fp16; in libmmada_cuda.so.
[[nodiscard]] Status group_norm_silu_cuda(const GroupNormSiluParams& params, const Context& context);
/// The oracle: plain fp64 loops, fp32 only.
void group_norm_silu_ref(const GroupNormSiluParams& params);

}  // namespace mmada::kernels
