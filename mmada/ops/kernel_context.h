// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

#include "kernels/common/context.h"
#include "kernels/common/float_types.h"

namespace mmada {

/// What a CPU kernel may use: ATen's threads, and a workspace that lives as long as this object.
class CpuKernelContext {
 public:
  explicit CpuKernelContext(size_t workspace_bytes = 0);
  operator const kernels::Context&() const { return context_; }

 private:
  at::Tensor workspace_;
  kernels::Context context_;
};

/// Throws mmada::Error naming the op where a kernel did not succeed.
void check_kernel(kernels::Status status, std::string_view op);

/// Throws where a GPU is older than the kernels: 10 x major + minor of its compute capability.
void check_compute_capability(int capability);

/// Nothing for element types that kernels do not know.
std::optional<kernels::FloatType> kernel_float_type(at::ScalarType type);

}  // namespace mmada
