// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mmada/model/sharded_transformer.h"
#include "mmada/trainer/flow_rows.h"
#include "mmada/trainer/optimizer.h"

namespace mmada {

/// One forward and backward pass of a process: rows of one length, and how many of their positions have a
/// loss.
struct PassShape {
  int64_t rows = 0;
  int64_t tokens = 0;  ///< of a row
  int64_t positions = 0;
};

/// What decides how much a run needs.
struct RunShape {
  TransformerConfig model;
  int64_t processes = 1;
  ShardPolicy policy;
  Recompute recompute = Recompute::kNothing;
  std::optional<LoraOptions> lora = {};
  bool averaged_weights = false;  ///< AdamWOptions::ema_decay
  bool moments_8bit = false;      ///< AdamWOptions::moments_8bit
  bool rollouts = false;          ///< between updates each process holds the whole model, and generates
  bool reference = false;         ///< there are weights that stand in for the shards' (ReferenceWeights)
  bool reference_here = false;    ///< and they lie in this device's memory
  int64_t micro_batches = 1;
  std::vector<PassShape> passes;  ///< of one micro-batch, in the process that has most rows
};
/// The passes of a micro-batch with these flows: positions as many as the noise masks on average, lengths
/// without what left padding saves.
std::vector<PassShape> pass_shapes(const std::vector<FlowConfig>& flows, const RowSettings& settings,
                                   int64_t processes);

/// Bytes that one process holds at the worst moment of a step (TRAINING.md's counting, for these kernels).
struct MemoryPlan {
  int64_t parameters = 0;   ///< shards of masters and of what is frozen, and the whole units around their use
  int64_t gradients = 0;    ///< shards that are there by then, and the units that are being reduced
  int64_t optimizer = 0;    ///< two moments, and the averaged weights
  int64_t activations = 0;  ///< kept for the backward pass
  int64_t working = 0;      ///< on top: the head's chunks of logits, or a block on its way back
  int64_t reference = 0;    ///< the shards' first values
  int64_t rollouts = 0;     ///< the whole model, between updates, when there are no activations
  int64_t set_aside = 0;    ///< the policy's shards while the reference stands in for them, likewise
  int64_t total() const {
    return parameters + gradients + optimizer + reference +
           std::max({activations + working, rollouts, set_aside + working});
  }
};
MemoryPlan memory_plan(const RunShape& run);

/// What one optimizer step moves and computes in each process.
struct WorkPlan {
  int64_t gathered_bytes = 0, reduced_bytes = 0;  ///< as ShardCounters counts them
  double flops = 0;        ///< multiplications and additions, three times the forward pass's
                           ///< (twice under LoRA: frozen weights have no gradients)
  double extra_flops = 0;  ///< of what is computed anew
  int64_t tokens = 0;
};
WorkPlan work_plan(const RunShape& run);

/// A device that nobody has measured this on: figures of its maker and of others' reports.
struct DeviceModel {
  std::string name = "H100 SXM";
  double peak_flops = 989.4e12;     ///< bf16, dense
  double kernel_efficiency = 0.5;   ///< of the peak, within a step's products (assumed)
  double bytes_per_second = 350e9;  ///< of a collective (assumed)
};
/// A prediction, not a measurement: computing and communication overlap, but for the first gathering and the
/// last reduction.
struct SpeedPrediction {
  double step_seconds = 0, tokens_per_second = 0, model_flops_utilization = 0;
};
SpeedPrediction predict_speed(const RunShape& run, const DeviceModel& device = {});

}  // namespace mmada
