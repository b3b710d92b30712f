// SPDX-License-Identifier: MIT
// Shape suffixes: B rows, T tokens of a row, D d_model, N chosen positions, V vocabulary.
#include "mmada/model/sharded_transformer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <memory>
#include <span>

#include "mmada/core/check.h"
#include "mmada/ops/rms_norm.h"

namespace mmada {
namespace {

/// The parameters of a block in published order.
Transformer::Block block_of(at::TensorList w) {
  return {w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]};
}
constexpr size_t kBlockParameters = 9;

at::Tensor embed(at::TensorList weights, at::TensorList inputs) {
  return at::embedding(weights[0], inputs[0]);
}

ShardedModel::NamedShapes shapes_of(std::span<const NamedParameter> parameters) {
  ShardedModel::NamedShapes shapes;
  for (const NamedParameter& parameter : parameters)
    shapes.push_back({parameter.name, parameter.tensor.sizes().vec()});
  return shapes;
}

}  // namespace

std::vector<TransformerUnit> transformer_units(const TransformerConfig& config) {
  const auto parameters = Transformer(config, at::TensorOptions(at::kMeta)).parameters();
  const std::span<const NamedParameter> all(parameters);
  const size_t blocks = kBlockParameters * static_cast<size_t>(config.n_layers);
  std::vector<TransformerUnit> units{{"embedding", shapes_of(all.first(1))}};
  for (size_t i = 0; i < static_cast<size_t>(config.n_layers); ++i)
    units.push_back({cat("block ", i), shapes_of(all.subspan(1 + kBlockParameters * i, kBlockParameters))});
  const ShardedModel::NamedShapes last = shapes_of(all.subspan(1 + blocks));
  if (config.tie_word_embeddings)
    units.front().shapes.push_back(last.front());
  else
    units.push_back({"head", last});
  return units;
}

ShardedTransformer::ShardedTransformer(const TransformerConfig& config, Group group,
                                       const ShardPolicy& policy, Recompute recompute,
                                       const ShardedModel::Fill& fill)
    : config_(config),
      parameters_(Transformer(config, at::TensorOptions(at::kMeta).dtype(policy.master)).parameters()),
      device_(policy.device),
      recompute_(recompute),
      shards_(std::move(group), policy) {
  for (const auto& [name, shapes] : transformer_units(config)) shards_.add(name, shapes, fill);
}

std::vector<std::pair<ShardSegment, ParameterKind>> ShardedTransformer::segments() const {
  std::map<std::string, ParameterKind> kinds;
  for (const NamedParameter& parameter : parameters_) kinds[parameter.name] = parameter.kind;
  std::vector<std::pair<ShardSegment, ParameterKind>> result;
  for (const ShardSegment& segment : shards_.segments()) result.emplace_back(segment, kinds.at(segment.name));
  return result;
}

at::Tensor ShardedTransformer::run(const at::Tensor& ids_BT, PassTables made,
                                   std::vector<WindowTargets> targets) {
  const auto tables = std::make_shared<const PassTables>(std::move(made));
  at::Tensor x = shards_.run(0, {embed, /*recompute=*/false, /*weights_in_backward=*/false}, {ids_BT});
  const auto layers = static_cast<size_t>(config_.n_layers);
  for (size_t i = 1; i <= layers; ++i) {
    const auto block = [this, tables, last = i == layers](at::TensorList weights, at::TensorList inputs) {
      return run_block(block_of(weights), inputs[0], config_, *tables, last, recompute_);
    };
    x = shards_.run(i, {block, recompute_ == Recompute::kBlocks}, {x});
  }
  const auto head = [this, targets = std::move(targets)](at::TensorList weights, at::TensorList inputs) {
    const bool tied = config_.tie_word_embeddings;
    const at::Tensor hidden_ND = rms_norm(inputs[0], weights[tied ? 1 : 0], config_.rms_norm_eps);
    return head_logprobs(hidden_ND, weights[tied ? 0 : 1], targets);
  };
  return shards_.run(config_.tie_word_embeddings ? 0 : layers + 1, {head, /*recompute=*/false}, {x});
}

at::Tensor ShardedTransformer::logprobs(const RowBatch& rows, const at::Tensor& positions_N,
                                        const std::vector<WindowTargets>& targets) {
  check_rows(rows, config_);
  MMADA_CHECK(positions_N.size(0) > 0, "sharded transformer: found no positions, expected at least one");
  return run(rows.ids_BT.to(device_), pass_tables(config_, device_, rows, positions_N), targets);
}

at::Tensor ShardedTransformer::idle_pass() {
  const at::Tensor zero = at::zeros({1}, at::kLong);
  // of a window of one id the probability is 1, whatever the weights
  const RowBatch token{.ids_BT = zero.view({1, 1})};
  return logprobs(token, zero, {{.window = {0, 1}, .ids_N = zero}}).sum() * 0;
}

Transformer ShardedTransformer::whole(at::TensorOptions options, bool keep) {
  Transformer result = keep ? Transformer(config_, options) : Transformer();
  std::map<std::string, at::Tensor> places;
  if (keep)
    for (const NamedParameter& parameter : result.parameters()) places[parameter.name] = parameter.tensor;
  for (size_t unit = 0; unit < shards_.units(); ++unit)
    for (const auto& [name, tensor] : shards_.whole(unit))
      if (keep) places.at(name).copy_(tensor);
  return result;
}

TokenLogprobs token_logprobs(ShardedTransformer& model) {
  return [&model](const auto&... arguments) { return model.logprobs(arguments...); };
}

}  // namespace mmada
