// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/reference_weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace mmada {

ReferenceWeights::ReferenceWeights(const ShardedTransformer& policy, bool offload) {
  for (const ShardSegment& segment : policy.shards().segments()) {
    const at::Tensor own = segment.master.detach();
    kept_.push_back(offload ? own.to(at::kCPU, own.scalar_type(), /*non_blocking=*/false, /*copy=*/true)
                            : own.clone());
  }
}

void ReferenceWeights::in_place_of(ShardedTransformer& policy, const std::function<void()>& work) const {
  const auto put = [&](const std::vector<at::Tensor>& weights) {
    const at::NoGradGuard no_grad;
    size_t i = 0;
    for (const ShardSegment& segment : policy.shards().segments())
      at::Tensor(segment.master).copy_(weights[i++]);
    policy.shards().release_all();
  };
  std::vector<at::Tensor> own;
  for (const ShardSegment& segment : policy.shards().segments())
    own.push_back(segment.master.detach().clone());
  put(kept_);
  try {
    work();
  } catch (...) {
    put(own);
    throw;
  }
  put(own);
}

void ReferenceWeights::sync(const ShardedTransformer& policy, double mix) {
  const at::NoGradGuard no_grad;
  size_t i = 0;
  for (const ShardSegment& segment : policy.shards().segments()) {
    const at::Tensor own = segment.master.detach().to(kept_[i].device());
    if (mix == 1)
      kept_[i].copy_(own);
    else
      kept_[i].lerp_(own, mix);
    ++i;
  }
}

std::vector<CheckpointTensor> ReferenceWeights::tensors(const ShardedTransformer& policy) const {
  std::vector<CheckpointTensor> tensors;
  size_t i = 0;
  for (const ShardSegment& segment : policy.shards().segments())
    tensors.push_back({.name = segment.name,
                       .kind = "reference",
                       .tensor = kept_[i++],
                       .shape = segment.shape,
                       .offset = segment.offset});
  return tensors;
}

}  // namespace mmada
