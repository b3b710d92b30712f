// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "mmada/distributed/shard.h"
#include "mmada/model/token_logprobs.h"
#include "mmada/model/transformer.h"
#include "mmada/model/transformer_block.h"

namespace mmada {

/// A unit of the transformer and its parameters.
struct TransformerUnit {
  std::string name;
  ShardedModel::NamedShapes shapes;
};
std::vector<TransformerUnit> transformer_units(const TransformerConfig& config);

/// The transformer over processes: units of the embedding, of each block, and of ln_f with the head, whose
/// parameters lie in shards (ShardedModel). With tied embeddings ln_f and the head belong to the first unit.
class ShardedTransformer {
 public:
  /// `fill` gives each parameter, by its published name, its first value.
  ShardedTransformer(const TransformerConfig& config, Group group, const ShardPolicy& policy,
                     Recompute recompute, const ShardedModel::Fill& fill);

  const TransformerConfig& config() const { return config_; }
  ShardedModel& shards() { return shards_; }
  const ShardedModel& shards() const { return shards_; }
  /// What this process holds of each parameter, and its kind.
  std::vector<std::pair<ShardSegment, ParameterKind>> segments() const;

  /// As TokenLogprobs says. Every process calls it as often as the others, and so its backward pass: one that
  /// has no rows for it runs idle_pass().
  at::Tensor logprobs(const RowBatch& rows, const at::Tensor& positions_N,
                      const std::vector<WindowTargets>& targets);
  /// A pass over one token that adds nothing to any gradient: a scalar 0 to be differentiated.
  at::Tensor idle_pass();

  /// All parameters in one place, of the type and on the device asked for. Every process calls it; where
  /// `keep` is false the result is empty.
  Transformer whole(at::TensorOptions options, bool keep);

 private:
  at::Tensor run(const at::Tensor& ids_BT, PassTables tables, std::vector<WindowTargets> targets);

  TransformerConfig config_;
  std::vector<NamedParameter> parameters_;  ///< without memory
  at::Device device_;
  Recompute recompute_;
  ShardedModel shards_;
};

/// As token_logprobs of a Transformer; the network has to outlive it.
TokenLogprobs token_logprobs(ShardedTransformer& model);

}  // namespace mmada
