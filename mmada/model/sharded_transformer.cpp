// SPDX-License-Identifier: MIT
// Shape suffixes: B rows, T tokens of a row, D d_model, N chosen positions, V vocabulary.
#include "mmada/model/sharded_transformer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/ops/rms_norm.h"

namespace mmada {
namespace {

using BlockMember = at::Tensor Transformer::Block::*;
/// In published order.
constexpr std::array<BlockMember, 9> kBlock = {
    &Transformer::Block::attn_norm, &Transformer::Block::q_proj,   &Transformer::Block::k_proj,
    &Transformer::Block::v_proj,    &Transformer::Block::attn_out, &Transformer::Block::ff_norm,
    &Transformer::Block::ff_proj,   &Transformer::Block::up_proj,  &Transformer::Block::ff_out};

at::Tensor embed(at::TensorList weights, at::TensorList inputs) {
  return at::embedding(weights[0], inputs[0]);
}

}  // namespace

ShardedTransformer::ShardedTransformer(const TransformerConfig& config, Group group,
                                       const ShardPolicy& policy, Recompute recompute,
                                       const ShardedModel::Fill& fill, const std::optional<LoraOptions>& lora)
    : config_(config),
      parameters_(Transformer(config, at::TensorOptions(at::kMeta).dtype(policy.master)).parameters()),
      lora_(lora),
      units_(transformer_units(config, lora, policy.compute)),
      device_(policy.device),
      logprobs_type_(policy.compute == at::kDouble ? at::kDouble : at::kFloat),
      recompute_(recompute),
      shards_(std::move(group), policy) {
  MMADA_CHECK(
      !lora || recompute != Recompute::kNormsAndSwiglu,
      "sharded transformer: found the recomputation of norms and SwiGLU beside LoRA, expected none, or "
      "that of whole blocks");
  Sha256 digest;
  for (const TransformerUnit& unit : units_)
    if (lora)
      add_adapted(unit, fill, &digest);
    else
      shards_.add(unit.name, unit.shapes, fill);
  if (lora) base_sha256_ = hex(digest.digest());
}

/// The unit's frozen tensors come first: DoRA's magnitudes are lengths of rows of what is held.
void ShardedTransformer::add_adapted(const TransformerUnit& unit, const ShardedModel::Fill& fill,
                                     Sha256* digest) {
  std::map<std::string, at::Tensor> magnitudes;
  const auto fill_frozen = [&](at::TensorList frozen) {
    freeze(unit, fill, frozen, &magnitudes);
    for (size_t i = 0; i < frozen.size(); ++i) {
      const at::Tensor held = frozen[i].cpu();
      digest->update(unit.frozen[i].name.data(), unit.frozen[i].name.size());
      digest->update(held.const_data_ptr(), held.nbytes());
    }
  };
  const auto fill_adapter = [&](const std::string& name, const at::Tensor& tensor) {
    if (const auto magnitude = magnitudes.find(name); magnitude != magnitudes.end())
      at::Tensor(tensor).copy_(magnitude->second);
    else
      initialize_adapter(name, tensor, lora_->seed);
  };
  shards_.add(unit.name, unit.shapes, fill_adapter, unit.frozen, fill_frozen);
}

/// Fills a unit's frozen tensors, one parameter at a time.
void ShardedTransformer::freeze(const TransformerUnit& unit, const ShardedModel::Fill& fill,
                                at::TensorList frozen, std::map<std::string, at::Tensor>* magnitudes) const {
  for (const UnitParameter& parameter : unit.parameters) {
    // those of the unit's tensors that are trained stand before the frozen ones
    const at::Tensor& values = frozen[parameter.values - unit.shapes.size()];
    FrozenWeight held{.format = parameter.format, .values = values, .scales = {}};
    if (parameter.scales) held.scales = frozen[*parameter.scales - unit.shapes.size()];
    if (held.format == WeightFormat::kFull) {
      fill(parameter.name, values);
    } else {
      const at::Tensor full = at::empty(parameter.shape, at::TensorOptions(device_).dtype(at::kFloat));
      fill(parameter.name, full);
      quantise(full, held);
    }
    if (parameter.magnitude)
      (*magnitudes)[adapter_names(parameter.name).magnitude] = row_lengths(dequantise(held, at::kFloat));
  }
}

std::vector<std::pair<ShardSegment, ParameterKind>> ShardedTransformer::segments() const {
  std::map<std::string, ParameterKind> kinds;
  for (const NamedParameter& parameter : parameters_) kinds[parameter.name] = parameter.kind;
  std::vector<std::pair<ShardSegment, ParameterKind>> result;
  for (const ShardSegment& segment : shards_.segments())
    result.emplace_back(segment, lora_ ? adapter_kind(segment.name) : kinds.at(segment.name));
  return result;
}

at::Tensor ShardedTransformer::block(size_t unit, at::TensorList tensors, const at::Tensor& x_BTD,
                                     const PassTables& tables) const {
  const std::vector<UnitParameter>& parameters = units_[unit].parameters;
  const bool last = std::cmp_equal(unit, config_.n_layers);
  Transformer::Block block;
  for (size_t i = 0; i < kBlock.size(); ++i) block.*kBlock[i] = tensors[parameters[i].values];
  BlockProduct product = nullptr;
  if (lora_)
    product = [&](const at::Tensor& x, BlockMember projection) {
      const auto place = std::ranges::find(kBlock, projection) - kBlock.begin();
      return project(x, adapted_weight(parameters[static_cast<size_t>(place)], tensors, lora_->scale()));
    };
  return run_block(block, x_BTD, config_, tables, last, recompute_, product);
}

/// Of the embedding and all blocks.
at::Tensor ShardedTransformer::blocks(const at::Tensor& ids_BT,
                                      const std::shared_ptr<const PassTables>& tables) {
  at::Tensor x = shards_.run(0, {embed, /*recompute=*/false, /*weights_in_backward=*/false}, {ids_BT});
  const auto layers = static_cast<size_t>(config_.n_layers);
  for (size_t i = 1; i <= layers; ++i) {
    const auto of_block = [this, tables, i](at::TensorList tensors, at::TensorList inputs) {
      return block(i, tensors, inputs[0], *tables);
    };
    x = shards_.run(i, {of_block, recompute_ == Recompute::kBlocks}, {x});
  }
  return x;
}

at::Tensor ShardedTransformer::hidden(const at::Tensor& ids_BT, const PassTables& tables,
                                      const at::Tensor& norm_D) {
  const at::NoGradGuard no_grad;
  return rms_norm(blocks(ids_BT, std::make_shared<const PassTables>(tables)), norm_D, config_.rms_norm_eps);
}

at::Tensor ShardedTransformer::run(const at::Tensor& ids_BT, PassTables made,
                                   std::vector<WindowTargets> targets, at::Tensor* entropy_N) {
  const at::Tensor x = blocks(ids_BT, std::make_shared<const PassTables>(std::move(made)));
  const auto layers = static_cast<size_t>(config_.n_layers);
  const auto head = [this, targets = std::move(targets), entropy_N](at::TensorList weights,
                                                                    at::TensorList inputs) {
    const bool tied = config_.tie_word_embeddings;
    const at::Tensor hidden_ND = rms_norm(inputs[0], weights[tied ? 1 : 0], config_.rms_norm_eps);
    return head_logprobs(hidden_ND, weights[tied ? 0 : 1], targets, entropy_N);
  };
  return shards_.run(config_.tie_word_embeddings ? 0 : layers + 1, {head, /*recompute=*/false}, {x});
}

at::Tensor ShardedTransformer::logprobs(const RowBatch& rows, const at::Tensor& positions_N,
                                        const std::vector<WindowTargets>& targets, at::Tensor* entropy_N) {
  check_rows(rows, config_);
  MMADA_CHECK(positions_N.size(0) > 0, "sharded transformer: found no positions, expected at least one");
  return run(rows.ids_BT.to(device_), pass_tables(config_, device_, rows, positions_N), targets, entropy_N);
}

at::Tensor ShardedTransformer::idle_pass() {
  const at::Tensor zero = at::zeros({1}, at::kLong);
  // of a window of one id the probability is 1, whatever the weights
  const RowBatch token{.ids_BT = zero.view({1, 1})};
  return logprobs(token, zero, {{.window = {0, 1}, .ids_N = zero}}).sum() * 0;
}

/// A unit's, in the order in which its passes get them.
std::vector<at::Tensor> ShardedTransformer::whole_tensors(size_t unit) {
  std::vector<at::Tensor> tensors;
  for (const auto& [name, tensor] : shards_.whole(unit)) tensors.push_back(tensor);
  for (const at::Tensor& tensor : shards_.whole_frozen(unit)) tensors.push_back(tensor);
  return tensors;
}

/// With its adapter merged into it.
at::Tensor ShardedTransformer::whole_parameter(const UnitParameter& parameter, at::TensorList tensors) const {
  const bool plain = parameter.format == WeightFormat::kFull && !parameter.a;
  return plain ? tensors[parameter.values] : merge(adapted_weight(parameter, tensors, lora_->scale()));
}

ShardedTransformer::FinalWeights ShardedTransformer::final_weights() {
  const size_t unit = config_.tie_word_embeddings ? 0 : shards_.units() - 1;
  const std::vector<at::Tensor> tensors = whole_tensors(unit);
  const std::vector<UnitParameter>& parameters = units_[unit].parameters;
  const size_t norm = config_.tie_word_embeddings ? 1 : 0;
  return {.norm_D = whole_parameter(parameters[norm], tensors),
          .head_VD = whole_parameter(parameters[1 - norm], tensors)};
}

Transformer ShardedTransformer::whole(at::TensorOptions options, bool keep) {
  Transformer result = keep ? Transformer(config_, options) : Transformer();
  std::map<std::string, at::Tensor> places;
  if (keep)
    for (const NamedParameter& parameter : result.parameters()) places[parameter.name] = parameter.tensor;
  for (size_t unit = 0; unit < shards_.units(); ++unit) {
    const std::vector<at::Tensor> tensors = whole_tensors(unit);
    for (const UnitParameter& parameter : units_[unit].parameters) {
      if (!keep) break;
      places.at(parameter.name).copy_(whole_parameter(parameter, tensors));
    }
  }
  return result;
}

std::vector<std::pair<std::string, at::Tensor>> ShardedTransformer::adapters(bool keep) {
  std::vector<std::pair<std::string, at::Tensor>> result;
  for (size_t unit = 0; lora_ && unit < shards_.units(); ++unit)
    for (const auto& [name, tensor] : shards_.whole(unit))
      if (keep) result.emplace_back(name, tensor);
  return result;
}

TokenLogprobs token_logprobs(ShardedTransformer& model) {
  return [&model](const auto&... arguments) { return model.logprobs(arguments...); };
}

}  // namespace mmada
