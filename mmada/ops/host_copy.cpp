// SPDX-License-Identifier: MIT
#include "mmada/ops/host_copy.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace mmada {

HostCopy::HostCopy(const std::vector<at::Tensor>& from) {
  for (const at::Tensor& tensor : from) {
    const bool here = tensor.is_cpu();
    to_.push_back(at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(!here)));
    to_.back().copy_(tensor, /*non_blocking=*/true);
  }
  if (from.empty() || from.front().is_cpu()) return;
  const at::Device device = from.front().device();
  arrived_.emplace(device.type());
  arrived_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

const std::vector<at::Tensor>& HostCopy::wait() {
  if (arrived_) arrived_->synchronize();
  return to_;
}

}  // namespace mmada
