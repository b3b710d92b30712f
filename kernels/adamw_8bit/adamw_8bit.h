// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/common/context.h"
#include "kernels/common/host_device.h"

namespace mmada::kernels {

/// Elements that share a scale; blocks are counted from the parameter's first element.
constexpr int64_t kMomentBlock = 256;

/// A step of AdamW (arXiv 1711.05101) over `count` fp32 weights whose moments take a byte each: in every
/// block of kMomentBlock they are levels times the block's largest (block-wise dynamic quantisation, arXiv
/// 2110.02861). Of the second moment the root is kept, so that both reach equally far below their largest; a
/// root that is not 0 never becomes 0, which keeps m / sqrt(v) bounded. Gradients are finite.
struct Adamw8bitParams {
  float* weight = nullptr;
  const float* grad = nullptr;
  uint8_t* exp_avg = nullptr;       ///< MomentLevels<7>: the top bit is the sign
  uint8_t* exp_avg_root = nullptr;  ///< MomentLevels<8>: of sqrt(exp_avg_sq)
  float* exp_avg_scale = nullptr;   ///< one for each block, the last of which may be short
  float* exp_avg_root_scale = nullptr;
  int64_t count = 0;
  double learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
  int64_t step = 1;  ///< from 1, for the corrections of the moments' bias
};

/// Code 0 is 0; code 2^d + j, with j < 2^d, is the middle of the j-th of 2^d equal parts of the decade that
/// ends at 10^(d - kBits + 1); the last is 1. Ascending in the code.
template <int kBits>
struct MomentLevels {
  static constexpr unsigned kCount = 1u << kBits;

  /// A quotient of two integers that fp32 holds exactly: every machine has the same levels.
  static MMADA_HOST_DEVICE inline float level(unsigned code) {
    if (code == 0) return 0.0f;
    if (code == kCount - 1) return 1.0f;
    unsigned parts = 1;
    while (2 * parts <= code) parts *= 2;
    int64_t denominator = 2 * static_cast<int64_t>(parts);
    for (unsigned decade = parts; decade < kCount; decade *= 2) denominator *= 10;
    return static_cast<float>(2 * parts + 18 * (code - parts) + 9) / static_cast<float>(denominator);
  }
  /// The value from which on the next code is nearer; behind the last code nothing is.
  static MMADA_HOST_DEVICE inline float midpoint(unsigned code) {
    return code == kCount - 1 ? 2.0f : 0.5f * (level(code) + level(code + 1));
  }
  /// The code of the level nearest to x in [0, 1], the lower of two.
  static MMADA_HOST_DEVICE inline unsigned nearest(float x, const float* midpoints) {
    unsigned code = 0;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (unsigned step = kCount / 2; step > 0; step /= 2) code += x > midpoints[code + step - 1] ? step : 0;
    return code;
  }
};

/// CPU: blocks are spread over the context's threads in chunks.
[[nodiscard]] Status adamw_8bit(const Adamw8bitParams& params, const Context& context);
/// CUDA: one pass, 16 bytes moved for each weight.
[[nodiscard]] Status adamw_8bit_cuda(const Adamw8bitParams& params, const Context& context);
/// The oracle: fp64, levels by their definition, searched one by one.
void adamw_8bit_ref(const Adamw8bitParams& params);

}  // namespace mmada::kernels
