// SPDX-License-Identifier: MIT
#include "mmada/trainer/run_plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <numbers>
#include <numeric>

#include "mmada/model/work.h"
#include "mmada/ops/logprobs.h"

namespace mmada {
namespace {

/// Masked share of a flow's positions on average: E[cos(pi t / 2)] of images, E[t] of text.
constexpr double kImageShare = 2 / std::numbers::pi, kTextShare = 0.5;
/// Chunks of logits that masked_token_logprobs has at a time.
constexpr int64_t kLogitChunks = 3;

int64_t size_of(at::ScalarType type) { return static_cast<int64_t>(c10::elementSize(type)); }

/// Elements of each unit as they are gathered, shards filled up.
std::vector<int64_t> unit_elements(const RunShape& run) {
  std::vector<int64_t> elements;
  for (const auto& unit : transformer_units(run.model))
    elements.push_back(
        flat_layout(unit.shapes, static_cast<int>(run.processes), run.policy.alignment).padded);
  return elements;
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

int64_t activation_bytes(const RunShape& run, const PassShape& pass) {
  const Kept full = kept_by_block(run, false), last = kept_by_block(run, true);
  const int64_t tokens = pass.rows * pass.tokens;
  const int64_t elements = (run.model.n_layers - 1) * full.tokens * tokens + last.tokens * tokens +
                           last.positions * pass.positions;
  return elements * size_of(run.policy.compute);
}

/// On its way back a block has the gradients of its widest tensors, and what it computes anew.
int64_t working_bytes(const RunShape& run, const PassShape& pass) {
  RunShape all = run;
  all.recompute = Recompute::kNothing;
  const int64_t anew = kept_by_block(all, false).tokens - kept_by_block(run, false).tokens;
  const int64_t widest = 2 * run.model.mlp_hidden_size + run.model.d_model;
  const int64_t again =
      run.recompute == Recompute::kBlocks ? anew : std::min(anew, run.model.mlp_hidden_size);
  const int64_t block = (widest + again) * pass.rows * pass.tokens * size_of(run.policy.compute);
  const int64_t chunk = std::min<int64_t>(kLogprobsChunkBytes, pass.positions * run.model.vocab_size * 4);
  const int64_t head = kLogitChunks * chunk + 3 * pass.positions * run.model.d_model * 4;
  return std::max(block, head);
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
  const std::vector<int64_t> units = unit_elements(run);
  const int64_t all = std::accumulate(units.begin(), units.end(), int64_t{0}), shard = all / run.processes;
  const int64_t largest = *std::max_element(units.begin(), units.end());
  int64_t pair = largest;
  for (size_t i = 1; i < units.size(); ++i) pair = std::max(pair, units[i - 1] + units[i]);
  const ShardPolicy& policy = run.policy;
  const bool resident = run.processes == 1 && policy.master == policy.compute;
  const int64_t whole = resident ? 0 : !policy.release ? all : policy.prefetch ? pair : largest;
  const int64_t in_flight = run.processes == 1 ? 0 : pair * size_of(policy.reduce);
  MemoryPlan plan;
  plan.parameters = shard * size_of(policy.master) + whole * size_of(policy.compute);
  plan.gradients = shard * size_of(policy.master) + in_flight + largest * size_of(policy.compute);
  // two moments of fp32; or of a byte, and two scales for each block
  plan.optimizer = run.moments_8bit ? shard * 2 + shard / kMomentBlock * 8 : shard * 8;
  if (run.averaged_weights) plan.optimizer += shard * 4;
  for (const PassShape& pass : run.passes) {
    plan.activations = std::max(plan.activations, activation_bytes(run, pass));
    plan.working = std::max(plan.working, working_bytes(run, pass));
  }
  return plan;
}

WorkPlan work_plan(const RunShape& run) {
  const std::vector<int64_t> units = unit_elements(run);
  const int64_t all = std::accumulate(units.begin(), units.end(), int64_t{0});
  const int64_t passes = run.micro_batches * std::ssize(run.passes);
  WorkPlan plan;
  if (run.processes > 1) {
    // the last unit stays for its backward pass, the embedding's reads no weights
    const int64_t backward = all - units.back() - units.front();
    const int64_t gathered = run.policy.release ? passes * all + passes * backward : all;
    plan.gathered_bytes = gathered * size_of(run.policy.compute);
    plan.reduced_bytes = passes * all * size_of(run.policy.reduce);
  }
  for (const PassShape& pass : run.passes) {
    const auto [layers, head] = pass_flops(run.model, pass);
    const auto micro = static_cast<double>(run.micro_batches);
    plan.flops += 3 * (layers + head) * micro;
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
  const std::vector<int64_t> units = unit_elements(run);
  const double exposed = run.processes == 1
                             ? 0
                             : static_cast<double>(units.front() * size_of(run.policy.compute) +
                                                   units.front() * size_of(run.policy.reduce)) /
                                   device.bytes_per_second;
  SpeedPrediction prediction;
  prediction.step_seconds = std::max(computing, moving) + exposed;
  prediction.tokens_per_second = static_cast<double>(work.tokens) / prediction.step_seconds;
  prediction.model_flops_utilization = work.flops / prediction.step_seconds / device.peak_flops;
  return prediction;
}

}  // namespace mmada
