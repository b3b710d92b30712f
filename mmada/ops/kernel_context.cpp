// SPDX-License-Identifier: MIT
#include "mmada/ops/kernel_context.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#include "mmada/core/check.h"

namespace mmada {

CpuKernelContext::CpuKernelContext(size_t workspace_bytes) {
  if (workspace_bytes > 0) {
    workspace_ = at::empty({static_cast<int64_t>(workspace_bytes)}, at::kByte);
    context_.workspace = workspace_.mutable_data_ptr();
    context_.workspace_bytes = workspace_bytes;
  }
  // each thread takes the next chunk when it is free: a thread that others interrupt holds up one chunk only
  context_.parallel_for = [](int64_t chunks, const std::function<void(int64_t)>& body) {
    std::atomic<int64_t> next = 0;
    at::parallel_for(0, std::min<int64_t>(chunks, at::get_num_threads()), 1, [&](int64_t, int64_t) {
      for (int64_t chunk = next++; chunk < chunks; chunk = next++) body(chunk);
    });
  };
}

void check_kernel(kernels::Status status, std::string_view op) {
  MMADA_CHECK(status == kernels::Status::kOk, "mmada::", op,
              ": kernel failed: ", kernels::status_name(status));
}

void check_compute_capability(int capability) {
  constexpr int kOldest = 80;
  MMADA_CHECK(capability >= kOldest, "device: found a GPU of compute capability ", capability / 10, ".",
              capability % 10, ", expected ", kOldest / 10, ".", kOldest % 10,
              " or newer (A100, H100, B200)");
}

std::optional<kernels::FloatType> kernel_float_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return kernels::FloatType::kF32;
    case at::kBFloat16:
      return kernels::FloatType::kBF16;
    case at::kHalf:
      return kernels::FloatType::kF16;
    default:
      return std::nullopt;
  }
}

}  // namespace mmada
