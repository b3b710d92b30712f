// SPDX-License-Identifier: MIT
#include "mmada/trainer/run_plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <numbers>

#include "mmada/model/work.h"
#include "mmada/ops/logprobs.h"

namespace mmada {
namespace {

/// Masked share of a flow's positions on average: E[cos(pi t / 2)] of images, E[t] of text.
constexpr double kImageShare = 2 / std::numbers::pi, kTextShare = 0.5;
/// Chunks of logits that masked_token_logprobs has at a time, and of a head that is not trained.
constexpr int64_t kLogitChunks = 3, kFrozenLogitChunks = 2;

int64_t size_of(at::ScalarType type) { return static_cast<int64_t>(c10::elementSize(type)); }

/// A unit as it is gathered, shards filled up.
struct UnitSize {
  int64_t trained = 0;  ///< elements
  int64_t frozen = 0;   ///< bytes
};
std::vector<UnitSize> unit_sizes(const RunShape& run) {
  const auto processes = static_cast<int>(run.processes);
  std::vector<UnitSize> sizes;
  for (const auto& unit : transformer_units(run.model, run.lora, run.policy.compute))
    sizes.push_back({flat_layout(unit.shapes, processes, run.policy.alignment).padded,
                     frozen_layout(unit.frozen, processes, run.policy.alignment).padded});
  return sizes;
}

/// The sum of every unit's, the largest, and the most of two neighbours.
struct Sums {
  int64_t all = 0, largest = 0, pair = 0;
};
template <class Size>
Sums sums_over(const std::vector<UnitSize>& units, const Size& size) {
  Sums sums;
  for (size_t i = 0; i < units.size(); ++i) {
    const int64_t own = size(units[i]);
    sums.all += own;
    sums.largest = std::max(sums.largest, own);
    sums.pair = std::max(sums.pair, own + (i > 0 ? size(units[i - 1]) : 0));
  }
  return sums;
}

/// Elements per token that a full block keeps, and those of a block whose MLP runs at chosen positions.
struct Kept {
  int64_t tokens, positions;
};

/// x, h, q, k, v, the attention's output, the sum, its norm, gate, up and their product; without what is
/// computed anew.
Kept kept_by_block(const RunShape& run, bool partial) {
  const int64_t d = run.model.d_model, kv = run.model.n_kv_heads * run.model.head_dim(),
                m = run.model.mlp_hidden_size;
  const bool lean = run.recompute == Recompute::kNormsAndSwiglu;
  if (run.recompute == Recompute::kBlocks) return {d, 0};
  const int64_t attention_input = lean ? d : 2 * d;
  const int64_t rest = lean ? d + 2 * m : 2 * d + 3 * m;  // from the sum on
  if (partial) return {attention_input + 2 * kv, 2 * d + rest + (lean ? d : 2 * d)};
  return {attention_input + 2 * d + 2 * kv + rest, 0};
}

/// Under LoRA: inputs of projections are kept for adapters alone, with each adapter's product by A and, of
/// DoRA, what the magnitude scales. Nothing is kept below the first adapted block.
Kept kept_by_adapted_block(const RunShape& run, int64_t layer, bool partial) {
  const LoraOptions& lora = *run.lora;
  const int64_t first = std::ranges::min(lora.layers);
  if (layer < first) return {0, 0};
  const int64_t d = run.model.d_model, kv = run.model.n_kv_heads * run.model.head_dim(),
                m = run.model.mlp_hidden_size;
  if (run.recompute == Recompute::kBlocks) return {d, 0};
  // of an input and the adapted projections that read it
  const auto kept = [&](int64_t input, const std::vector<std::pair<const char*, int64_t>>& projections) {
    int64_t elements = 0;
    for (const auto& [name, outputs] : projections)
      if (std::ranges::count(lora.layers, layer) > 0 && std::ranges::count(lora.targets, name) > 0)
        elements += lora.rank + (lora.dora ? outputs : 0) + (elements == 0 ? input : 0);
    return elements;
  };
  const int64_t q = kept(d, {{"q_proj", d}}), keys = kept(d, {{"k_proj", kv}, {"v_proj", kv}}),
                all = kept(d, {{"q_proj", d}, {"k_proj", kv}, {"v_proj", kv}});
  // the attention keeps its output itself, and nothing where all before it is frozen
  const bool attends = layer > first || all > 0;
  const int64_t out = kept(attends ? 0 : d, {{"attn_out", d}});
  const int64_t gates = kept(d, {{"ff_proj", m}, {"up_proj", m}});
  const bool feeds = attends || out > 0;  // into the MLP's norm what needs a gradient
  const int64_t rest =
      out + (feeds ? d : 0) + gates + (feeds || gates > 0 ? 2 * m : 0) + kept(m, {{"ff_out", d}});
  if (!attends) return partial ? Kept{0, rest} : Kept{rest, 0};
  if (partial) return {d + keys + 2 * kv, 3 * d + q + rest};
  return {d + all + 2 * d + 2 * kv + rest, 0};
}

/// What the first `layers` blocks keep.
int64_t activation_bytes(const RunShape& run, const PassShape& pass, int64_t layers) {
  const int64_t tokens = pass.rows * pass.tokens;
  int64_t elements = 0;
  for (int64_t layer = 0; layer < layers; ++layer) {
    const bool last = layer + 1 == run.model.n_layers;
    const Kept kept = run.lora ? kept_by_adapted_block(run, layer, last) : kept_by_block(run, last);
    elements += kept.tokens * tokens + kept.positions * pass.positions;
  }
  return elements * size_of(run.policy.compute);
}

/// Of one projection while it is dequantised, or while DoRA takes the lengths of its rows.
int64_t dequantised_bytes(const RunShape& run) {
  if (!run.lora) return 0;
  const int64_t largest = run.model.d_model * std::max(run.model.d_model, run.model.mlp_hidden_size);
  const int64_t held = run.lora->base == WeightFormat::kFull   ? 0
                       : run.lora->base == WeightFormat::kInt8 ? 1
                                                               : 3;
  return largest * 4 * (held + (run.lora->dora ? 2 : 0));
}

/// On its way back a block has the gradients of its widest tensors, and what it computes anew.
int64_t block_working_bytes(const RunShape& run, const PassShape& pass) {
  RunShape all = run;
  all.recompute = Recompute::kNothing;
  const auto kept = [](const RunShape& of) {
    return of.lora ? kept_by_adapted_block(of, std::ranges::max(of.lora->layers), false)
                   : kept_by_block(of, false);
  };
  const int64_t anew = kept(all).tokens - kept(run).tokens;
  const int64_t widest = 2 * run.model.mlp_hidden_size + run.model.d_model;
  const int64_t again =
      run.recompute == Recompute::kBlocks ? anew : std::min(anew, run.model.mlp_hidden_size);
  const int64_t block = (widest + again) * pass.rows * pass.tokens * size_of(run.policy.compute);
  return block + dequantised_bytes(run);
}

int64_t head_working_bytes(const RunShape& run, const PassShape& pass) {
  const int64_t chunk = std::min<int64_t>(kLogprobsChunkBytes, pass.positions * run.model.vocab_size * 4);
  return (run.lora ? kFrozenLogitChunks : kLogitChunks) * chunk + 3 * pass.positions * run.model.d_model * 4;
}

/// What a moment of a step holds beside what is there all the time.
struct Moment {
  int64_t gradients = 0, activations = 0, working = 0;
  int64_t total() const { return gradients + activations + working; }
};

/// A pass on its way back through the head, the blocks and the embedding, and behind it. Gradients come about
/// on that way, whole, and become shards; `later`: those of a pass before are there already.
std::vector<Moment> moments_of(const RunShape& run, const PassShape& pass, bool later) {
  const std::vector<UnitSize> units = unit_sizes(run);
  const ShardPolicy& policy = run.policy;
  const int64_t layers = run.model.n_layers;
  const auto shard_bytes = [&](size_t unit) {
    return units[unit].trained / run.processes * size_of(policy.master);
  };
  int64_t held = 0, before = 0;
  std::vector<bool> reduced(units.size(), later);
  for (size_t unit = 0; later && unit < units.size(); ++unit) held += shard_bytes(unit);
  std::vector<Moment> moments;
  for (int64_t place = layers + 1; place >= 0; --place) {
    const bool head = place == layers + 1;
    const auto unit = static_cast<size_t>(head && run.model.tie_word_embeddings ? 0 : place);
    const int64_t own = units[unit].trained;
    Moment moment{.gradients = held + own * size_of(policy.compute)};
    if (run.processes > 1) moment.gradients += (own + before) * size_of(policy.reduce);
    moment.activations = activation_bytes(run, pass, std::min(place, layers));
    if (place > 0) moment.working = head ? head_working_bytes(run, pass) : block_working_bytes(run, pass);
    moments.push_back(moment);
    if (!reduced[unit]) held += shard_bytes(unit);
    reduced[unit] = true, before = own;
  }
  moments.push_back({.gradients = held});
  return moments;
}

/// Of the forward pass's layers and of its head.
struct PassFlops {
  double layers, head;
};
PassFlops pass_flops(const TransformerConfig& model, const PassShape& pass) {
  const RowBatch rows{.ids_BT =
                          at::empty({pass.rows, pass.tokens}, at::TensorOptions(at::kMeta).dtype(at::kLong))};
  std::vector<int64_t> positions;  // as many in every row as in the others
  for (int64_t i = 0; i < pass.positions; ++i)
    positions.push_back(i % pass.rows * pass.tokens + i / pass.rows);
  const Work layers = layers_work(model, rows, positions, 0);
  const Work head = head_work(model, pass.positions, model.vocab_size, 0);
  return {static_cast<double>(layers.layer_flops + layers.attention_flops),
          static_cast<double>(head.head_flops)};
}

}  // namespace

std::vector<PassShape> pass_shapes(const std::vector<FlowConfig>& flows, const RowSettings& settings,
                                   int64_t processes) {
  std::map<int64_t, PassShape> by_length;
  for (const FlowConfig& flow : flows) {
    const int64_t rows = (flow.rows + processes - 1) / processes, length = row_length(settings, flow);
    if (rows == 0) continue;
    const double share =
        flow.kind == FlowKind::kT2i
            ? kImageShare * static_cast<double>(settings.image_tokens)
            : kTextShare * static_cast<double>(flow.kind == FlowKind::kMmu ? settings.text_budget : length);
    PassShape& pass = by_length[length];
    pass.tokens = length;
    pass.rows += rows;
    pass.positions += static_cast<int64_t>(share * static_cast<double>(rows));
  }
  std::vector<PassShape> passes;
  for (const auto& [length, pass] : by_length) passes.push_back(pass);
  return passes;
}

MemoryPlan memory_plan(const RunShape& run) {
  const std::vector<UnitSize> units = unit_sizes(run);
  const ShardPolicy& policy = run.policy;
  const bool alone = run.processes == 1, resident = alone && policy.master == policy.compute;
  const Sums trained = sums_over(units, [](const UnitSize& unit) { return unit.trained; });
  const Sums frozen = sums_over(units, [](const UnitSize& unit) { return unit.frozen; });
  const Sums filled = sums_over(units, [&](const UnitSize& unit) {
    return (resident ? 0 : unit.trained * size_of(policy.compute)) + (alone ? 0 : unit.frozen);
  });
  const int64_t shard = trained.all / run.processes;
  const int64_t whole = !policy.release ? filled.all : policy.prefetch ? filled.pair : filled.largest;
  MemoryPlan plan;
  plan.parameters = shard * size_of(policy.master) + frozen.all / run.processes + whole;
  // two moments of fp32; or of a byte, and two scales for each block
  plan.optimizer = run.moments_8bit ? shard * 2 + shard / kMomentBlock * 8 : shard * 8;
  if (run.averaged_weights) plan.optimizer += shard * 4;
  if (run.reference) plan.set_aside = shard * size_of(policy.master);
  if (run.reference_here) plan.reference = plan.set_aside;
  if (run.rollouts)
    for (const NamedParameter& parameter :
         Transformer(run.model, at::TensorOptions(at::kMeta).dtype(policy.compute)).parameters())
      plan.rollouts += static_cast<int64_t>(parameter.tensor.nbytes());
  Moment worst;
  bool later = run.micro_batches > 1;  // of which the last has the gradients of those before
  for (const PassShape& pass : run.passes) {
    for (const Moment& moment : moments_of(run, pass, later))
      if (moment.total() > worst.total()) worst = moment;
    later = true;
  }
  plan.gradients = worst.gradients, plan.activations = worst.activations, plan.working = worst.working;
  return plan;
}

WorkPlan work_plan(const RunShape& run) {
  const std::vector<UnitSize> units = unit_sizes(run);
  const auto gathered_bytes = [&](const UnitSize& unit) {
    return unit.trained * size_of(run.policy.compute) + unit.frozen;
  };
  const int64_t passes = run.micro_batches * std::ssize(run.passes);
  WorkPlan plan;
  if (run.processes > 1) {
    // the last unit stays for its backward pass; the embedding's reads no weights, and what lies below the
    // first adapted block has none
    const size_t first = run.lora ? static_cast<size_t>(1 + std::ranges::min(run.lora->layers)) : 1;
    int64_t backward = 0;
    for (size_t i = first; i + 1 < units.size(); ++i) backward += gathered_bytes(units[i]);
    const int64_t all = sums_over(units, gathered_bytes).all;
    plan.gathered_bytes = run.policy.release ? passes * (all + backward) : all;
    plan.reduced_bytes = passes * sums_over(units, [](const UnitSize& unit) { return unit.trained; }).all *
                         size_of(run.policy.reduce);
  }
  for (const PassShape& pass : run.passes) {
    const auto [layers, head] = pass_flops(run.model, pass);
    const auto micro = static_cast<double>(run.micro_batches);
    plan.flops += (run.lora ? 2 : 3) * (layers + head) * micro;
    if (run.recompute == Recompute::kBlocks) plan.extra_flops += layers * micro;
    plan.tokens += pass.rows * pass.tokens * run.micro_batches;
  }
  return plan;
}

SpeedPrediction predict_speed(const RunShape& run, const DeviceModel& device) {
  const WorkPlan work = work_plan(run);
  const double computing = (work.flops + work.extra_flops) / (device.peak_flops * device.kernel_efficiency);
  const double moving =
      static_cast<double>(work.gathered_bytes + work.reduced_bytes) / device.bytes_per_second;
  const UnitSize first = unit_sizes(run).front();
  const double exposed =
      run.processes == 1
          ? 0
          : static_cast<double>(first.trained * (size_of(run.policy.compute) + size_of(run.policy.reduce)) +
                                first.frozen) /
                device.bytes_per_second;
  SpeedPrediction prediction;
  prediction.step_seconds = std::max(computing, moving) + exposed;
  prediction.tokens_per_second = static_cast<double>(work.tokens) / prediction.step_seconds;
  prediction.model_flops_utilization = work.flops / prediction.step_seconds / device.peak_flops;
  return prediction;
}

}  // namespace mmada
