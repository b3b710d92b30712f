// SPDX-License-Identifier: MIT
// Shape suffixes: N rows, D width.
#pragma once

#include "kernels/common/context.h"
#include "kernels/common/float_types.h"

namespace mmada::kernels {

/// RMSNorm (SPEC 1.2): x * rsqrt(mean(x^2) + eps) in fp32, rounded to the type, times the weight in that
/// type. With `residual`: x + residual, rounded to the type, takes x's place and is written to `sum` (which
/// may be x or residual). Rows are dense.
struct RmsNormParams {
  const void* x_ND = nullptr;
  const void* residual_ND = nullptr;  ///< null: none
  void* sum_ND = nullptr;             ///< only with residual
  const void* weight_D = nullptr;
  void* out_ND = nullptr;
  float* inverse_rms_N = nullptr;  ///< written for the backward pass; null: not wanted
  FloatType type = FloatType::kF32;
  int64_t rows = 0, width = 0;
  float eps = 0;
};

struct RmsNormGradients {
  const void* dout_ND = nullptr;
  const void* dsum_ND = nullptr;  ///< gradient that reaches x + residual by its other way; null: none
  void* dx_ND = nullptr;          ///< of x and of residual alike
  float* dweight_D = nullptr;     ///< fp32
};

/// CPU: fp32, bf16 and fp16; rows are spread over the context's threads in chunks. Sums in fp32, over 64
/// lanes.
[[nodiscard]] Status rms_norm(const RmsNormParams& params, const Context& context);
size_t rms_norm_backward_cpu_workspace_size(const RmsNormParams& params);
/// As rms_norm_backward_cuda.
[[nodiscard]] Status rms_norm_backward(const RmsNormParams& params, const RmsNormGradients& gradients,
                                       const Context& context);
/// CUDA: fp32, bf16 and fp16. One read of x (and residual), one write; sums in fp32.
[[nodiscard]] Status rms_norm_cuda(const RmsNormParams& params, const Context& context);
size_t rms_norm_backward_workspace_size(const RmsNormParams& params);
/// Here x is what was normalised (sum, where there was a residual), and inverse_rms is read. dweight is
/// summed in a fixed order, without atomics.
[[nodiscard]] Status rms_norm_backward_cuda(const RmsNormParams& params, const RmsNormGradients& gradients,
                                            const Context& context);
/// The oracles: fp64, fp32 arrays only.
void rms_norm_ref(const RmsNormParams& params);
void rms_norm_backward_ref(const RmsNormParams& params, const RmsNormGradients& gradients);

}  // namespace mmada::kernels
