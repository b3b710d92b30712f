// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/common/context.h"
#include "kernels/common/float_types.h"
#include "kernels/common/math.h"

namespace mmada::kernels {

/// out = silu(gate) * up, element by element in fp32, rounded once. Dense arrays of `count`; out may be gate
/// or up. Moves three elements each.
struct SwigluParams {
  const void* gate = nullptr;
  const void* up = nullptr;
  void* out = nullptr;
  FloatType type = FloatType::kF32;
  int64_t count = 0;
};

/// Gradients of gate and up; dgate may be gate or dout, dup may be up or dout, but not the same.
struct SwigluGradients {
  const void* dout = nullptr;
  void* dgate = nullptr;
  void* dup = nullptr;
};

MMADA_HOST_DEVICE inline float swiglu_value(float gate, float up) { return silu(gate) * up; }

struct SwigluGradient {
  float dgate, dup;
};
/// silu'(x) = s (1 + x (1 - s)) with s = sigmoid(x).
MMADA_HOST_DEVICE inline SwigluGradient swiglu_gradient(float gate, float up, float dout) {
  const float sigmoid = 1.0f / (1.0f + vector_exp(-gate));
  return {dout * up * sigmoid * (1.0f + gate * (1.0f - sigmoid)), dout * gate * sigmoid};
}

/// CPU: fp32, bf16 and fp16; elements are spread over the context's threads in chunks.
[[nodiscard]] Status swiglu(const SwigluParams& params, const Context& context);
[[nodiscard]] Status swiglu_backward(const SwigluParams& params, const SwigluGradients& gradients,
                                     const Context& context);
/// CUDA: fp32, bf16 and fp16; 16 bytes at a time where every pointer allows.
[[nodiscard]] Status swiglu_cuda(const SwigluParams& params, const Context& context);
[[nodiscard]] Status swiglu_backward_cuda(const SwigluParams& params, const SwigluGradients& gradients,
                                          const Context& context);
/// The oracle: fp64, fp32 arrays only.
void swiglu_ref(const SwigluParams& params);
void swiglu_backward_ref(const SwigluParams& params, const SwigluGradients& gradients);

}  // namespace mmada::kernels
