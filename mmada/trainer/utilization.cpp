// SPDX-License-Identifier: MIT
#include "mmada/trainer/utilization.h"

#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "mmada/model/work.h"

namespace mmada {
namespace {

/// The kernel's high-water mark of this program's memory; getrusage's would begin with that of whoever
/// started it.
int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "VmHWM:") continue;
    int64_t kibibytes = 0;
    status >> kibibytes;
    return kibibytes * 1024;
  }
  return 0;
}

}  // namespace

double training_flops(const TransformerConfig& config, const RowGroup& group) {
  std::vector<int64_t> positions;
  int64_t head_flops = 0;
  for (const WeightedTargets& targets : group.targets) {
    const at::Tensor own_N = targets.positions_N.to(at::kCPU).contiguous();
    const auto* first = own_N.const_data_ptr<int64_t>();
    positions.insert(positions.end(), first, first + own_N.numel());
    head_flops += head_work(config, own_N.numel(), targets.window.size(), 0).head_flops;
  }
  const Work layers = layers_work(config, group.rows, positions, 0);
  return 3.0 * static_cast<double>(layers.layer_flops + layers.attention_flops + head_flops);
}

int64_t peak_memory_bytes(c10::Device device) {
  if (device.is_cpu()) return peak_resident_bytes();
  auto* const allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
  if (allocator == nullptr || !allocator->initialized()) return 0;
  const auto index = std::max<c10::DeviceIndex>(device.index(), 0);
  const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return allocator->getDeviceStats(index).allocated_bytes[all].peak;
}

}  // namespace mmada
