// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/common/context.h"
#include "kernels/common/float_types.h"
#include "kernels/simt/simt.cuh"

namespace mmada::kernels {

__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline void from_float(float x, __nv_bfloat16& out) { out = __float2bfloat16(x); }
__device__ inline void from_float(float x, __half& out) { out = __float2half(x); }

/// Calls f.operator()<T>() with the device's type for a FloatType.
template <class F>
Status dispatch_float(FloatType type, F&& f) {
  switch (type) {
    case FloatType::kF32:
      return f.template operator()<float>();
    case FloatType::kBF16:
      return f.template operator()<__nv_bfloat16>();
    case FloatType::kF16:
      return f.template operator()<__half>();
  }
  return Status::kUnsupported;
}

/// kernel<<<grid, block, shared_bytes, context.stream>>>(arguments...).
template <class... P, class... A>
Status launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, const Context& context,
              const A&... arguments) {
  const bool launched = simt::launch(kernel, grid, block, shared_bytes, context.stream, arguments...);
  return launched ? Status::kOk : Status::kLaunchFailed;
}

/// Blocks for `count` elements, at most what one grid-stride launch needs to fill any GPU.
inline unsigned blocks_for(int64_t count, int64_t threads) {
  constexpr int64_t kMaxBlocks = 4096;
  const int64_t blocks = (count + threads - 1) / threads;
  return static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks);
}

}  // namespace mmada::kernels
