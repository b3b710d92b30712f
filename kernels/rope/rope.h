// SPDX-License-Identifier: MIT
// Shape suffixes: T tokens, H heads, G key heads, D head_dim.
#pragma once

#include "kernels/common/context.h"
#include "kernels/common/float_types.h"
#include "kernels/common/host_device.h"

namespace mmada::kernels {

/// Rotates q and k in one pass (SPEC 1.2, half-split convention): with a and b the lower and upper half of a
/// head, [a cos - b sin, b cos + a sin] in fp32, rounded once. Out of place or in place (the same pointer).
/// Backward is the same call with `inverse`.
struct RopeParams {
  const void* q_THD = nullptr;
  const void* k_TGD = nullptr;
  void* q_out = nullptr;
  void* k_out = nullptr;
  FloatType type = FloatType::kF32;
  int64_t q_stride = 0, k_stride = 0;  ///< elements from token to token, of the inputs
  int64_t q_out_stride = 0, k_out_stride = 0;
  const int32_t* positions_T = nullptr;  ///< row of the tables; null: 0, 1, ...
  int64_t row_tokens = 0;      ///< without positions: they begin anew after so many tokens; 0: never
  const float* cos = nullptr;  ///< [table_rows, D / 2]
  const float* sin = nullptr;
  int64_t tokens = 0, heads = 0, key_heads = 0, head_dim = 0;
  bool inverse = false;
};

/// The row of the tables that a token takes.
MMADA_HOST_DEVICE inline int64_t rope_position(const RopeParams& p, int64_t token) {
  if (p.positions_T != nullptr) return p.positions_T[token];
  return p.row_tokens > 0 ? token % p.row_tokens : token;
}

struct RopePair {
  float low, high;
};
MMADA_HOST_DEVICE inline RopePair rope_pair(float a, float b, float cos, float sin) {
  return {a * cos - b * sin, b * cos + a * sin};
}

/// CPU: fp32, bf16 and fp16, even head_dim; tokens are spread over the context's threads in chunks.
[[nodiscard]] Status rope(const RopeParams& params, const Context& context);
/// CUDA: fp32, bf16 and fp16, even head_dim. Moves every element of q and k twice.
[[nodiscard]] Status rope_cuda(const RopeParams& params, const Context& context);
/// The oracle: fp64, fp32 arrays only.
void rope_ref(const RopeParams& params);

}  // namespace mmada::kernels
