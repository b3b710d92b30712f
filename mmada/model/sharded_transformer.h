// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mmada/core/sha256.h"
#include "mmada/distributed/shard.h"
#include "mmada/model/token_logprobs.h"
#include "mmada/model/transformer.h"
#include "mmada/model/transformer_block.h"
#include "mmada/model/transformer_units.h"

namespace mmada {

/// The transformer over processes: units of the embedding, of each block, and of ln_f with the head, whose
/// parameters lie in shards (ShardedModel, transformer_units). Under LoRA these are frozen, and the adapters
/// are what is trained; those of a block are gathered with it.
class ShardedTransformer {
 public:
  /// `fill` gives each parameter, by its published name, its first value; under LoRA the adapters
  /// begin so that the network computes what it did.
  ShardedTransformer(const TransformerConfig& config, Group group, const ShardPolicy& policy,
                     Recompute recompute, const ShardedModel::Fill& fill,
                     const std::optional<LoraOptions>& lora = {});

  const TransformerConfig& config() const { return config_; }
  ShardedModel& shards() { return shards_; }
  const ShardedModel& shards() const { return shards_; }
  /// What this process holds of each parameter, and its kind.
  std::vector<std::pair<ShardSegment, ParameterKind>> segments() const;

  /// As TokenLogprobs says, and head_logprobs of `entropy_N`. Every process calls it as often as the others,
  /// and so its backward pass: one that has no rows for it runs idle_pass().
  at::Tensor logprobs(const RowBatch& rows, const at::Tensor& positions_N,
                      const std::vector<WindowTargets>& targets, at::Tensor* entropy_N = nullptr);
  /// Final hidden states, as Transformer::hidden gives them, with ln_f's weights at hand. No gradients. Every
  /// process calls it as often as the others.
  at::Tensor hidden(const at::Tensor& ids_BT, const PassTables& tables, const at::Tensor& norm_D);
  struct FinalWeights {
    at::Tensor norm_D, head_VD;
  };
  /// ln_f and the head, whole. Every process calls it.
  FinalWeights final_weights();
  /// The type that logprobs() has.
  at::ScalarType logprobs_type() const { return logprobs_type_; }
  /// A pass over one token that adds nothing to any gradient: a scalar 0 to be differentiated.
  at::Tensor idle_pass();

  const std::optional<LoraOptions>& lora() const { return lora_; }
  /// SHA-256 of all that is frozen, as it is held; empty without LoRA. The same in every process.
  const std::string& base_sha256() const { return base_sha256_; }
  /// The adapters' tensors, whole, in the masters' type. Every process calls it; empty where `keep` is false.
  std::vector<std::pair<std::string, at::Tensor>> adapters(bool keep);

  /// All parameters in one place, adapters merged into them, of the type and on the device asked for. Every
  /// process calls it; where `keep` is false the result is empty.
  Transformer whole(at::TensorOptions options, bool keep);

 private:
  void add_adapted(const TransformerUnit& unit, const ShardedModel::Fill& fill, Sha256* digest);
  void freeze(const TransformerUnit& unit, const ShardedModel::Fill& fill, at::TensorList frozen,
              std::map<std::string, at::Tensor>* magnitudes) const;
  at::Tensor block(size_t unit, at::TensorList tensors, const at::Tensor& x_BTD,
                   const PassTables& tables) const;
  at::Tensor blocks(const at::Tensor& ids_BT, const std::shared_ptr<const PassTables>& tables);
  at::Tensor run(const at::Tensor& ids_BT, PassTables tables, std::vector<WindowTargets> targets,
                 at::Tensor* entropy_N);
  std::vector<at::Tensor> whole_tensors(size_t unit);
  at::Tensor whole_parameter(const UnitParameter& parameter, at::TensorList tensors) const;

  TransformerConfig config_;
  std::vector<NamedParameter> parameters_;  ///< without memory
  std::optional<LoraOptions> lora_;
  std::vector<TransformerUnit> units_;
  std::string base_sha256_;
  at::Device device_;
  at::ScalarType logprobs_type_;
  Recompute recompute_;
  ShardedModel shards_;
};

/// As token_logprobs of a Transformer; the network has to outlive it.
TokenLogprobs token_logprobs(ShardedTransformer& model);

}  // namespace mmada
