// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mmada/model/sharded_transformer.h"
#include "mmada/trainer/checkpoint.h"

namespace mmada {

/// The weights that a policy is held near to (SPEC 7.1): what is trained of it, as it was once, in the same
/// shards. Under LoRA that is the adapters of the beginning, with which the network is its base. There is no
/// second network: the reference's turn comes once in an outer step, and then stands in the policy's place.
class ReferenceWeights {
 public:
  /// Of the policy as it is now. offload: they lie in the host's memory.
  ReferenceWeights(const ShardedTransformer& policy, bool offload);

  /// Runs `work` with the reference's weights in the policy's place, which gets its own back whatever
  /// happens. Every process calls it.
  void in_place_of(ShardedTransformer& policy, const std::function<void()>& work) const;
  /// Moves them by `mix` of the way to the policy's (1: they become these).
  void sync(const ShardedTransformer& policy, double mix);
  /// For checkpoints.
  std::vector<CheckpointTensor> tensors(const ShardedTransformer& policy) const;

 private:
  std::vector<at::Tensor> kept_;  ///< of each segment
};

}  // namespace mmada
