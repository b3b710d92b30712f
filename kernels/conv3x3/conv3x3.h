// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/common/context.h"

namespace mmada::kernels {

/// y = conv(x, weight) + bias, or y += that: 3x3, stride 1, zeros one pixel around the picture. fp32.
/// Channels-last: x is [batch, height, width, in], y [batch, height, width, out], dense, not overlapping.
///
/// Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308): tiles of 4x4 outputs out of 6x6 inputs, 36
/// products per channel pair where the definition has 144. The price is rounding error: see
/// tests/kernels/conv3x3_test.cpp for its bound.
struct Conv3x3Params {
  const float* x = nullptr;
  const float* weight_OCKK = nullptr;  ///< [out, in, 3, 3], dense
  const float* bias_O = nullptr;
  float* y = nullptr;
  bool add = false;  ///< y += in place of y =
  int64_t batch = 0, height = 0, width = 0;
  int64_t in_channels = 0, out_channels = 0;  ///< multiples of 16
};

/// For up to `threads` chunks at a time; more threads than that wait for each other.
size_t conv3x3_workspace_size(const Conv3x3Params& params, int64_t threads);
[[nodiscard]] Status conv3x3(const Conv3x3Params& params, const Context& context);
/// The oracle: plain fp64 loops, rounded once at the end.
void conv3x3_ref(const Conv3x3Params& params);

}  // namespace mmada::kernels
