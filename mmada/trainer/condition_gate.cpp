// SPDX-License-Identifier: MIT
#include "mmada/trainer/condition_gate.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/data/source.h"

namespace mmada {
namespace {

/// The row with everything masked that the gate asks for.
NoisedRow mask_all(const TokenLayout& layout, const Row& row, FlowKind kind) {
  NoisedRow noised{.ids = row.ids, .clean = row.ids};
  noised.valid = row.valid;
  noised.image = row.image;
  const Span asked = kind == FlowKind::kT2i ? row.image : row.text;
  for (int64_t i = 0; i < static_cast<int64_t>(row.ids.size()); ++i) {
    if (row.prompt[i]) continue;
    noised.ids[i] = layout.mask;
    if (asked.contains(i)) noised.predicted.push_back(i);
  }
  return noised;
}

/// Mean cross-entropy per token of the samples with their text (t2i) or picture (mmu) taken `shift` samples
/// further.
double mean_loss(const Transformer& model, const RowSettings& settings, const FlowConfig& flow,
                 const std::vector<EncodedSample>& samples, size_t shift, int64_t rows_per_forward) {
  FlowBatch batch{.flow = &flow, .rows = {}, .targets = {}};
  for (size_t i = 0; i < samples.size(); ++i) {
    EncodedSample mixed = samples[i];
    const EncodedSample& other = samples[(i + shift) % samples.size()];
    if (flow.kind == FlowKind::kT2i)
      mixed.text = other.text;
    else
      mixed.image = other.image;
    batch.rows.push_back(mask_all(settings.layout, make_row(settings, flow, mixed, false), flow.kind));
  }
  size_t tokens = 0;
  for (const NoisedRow& row : batch.rows) tokens += row.predicted.size();
  if (tokens == 0) return 0.0;
  for (const NoisedRow& row : batch.rows) {
    RowTargets targets{.positions = row.predicted, .targets = {}, .weights = {}};
    for (const int64_t position : row.predicted) targets.targets.push_back(row.clean[position]);
    targets.weights.assign(row.predicted.size(), 1.0f / static_cast<float>(tokens));
    batch.targets.push_back(std::move(targets));
  }
  const auto rows = static_cast<int64_t>(batch.rows.size());
  const int64_t forwards = (rows + rows_per_forward - 1) / rows_per_forward;
  double loss = 0.0;
  for (int64_t i = 0; i < forwards; ++i)
    for (const LossPart& part : weighted_losses(model, make_groups(settings, {batch}, i, forwards)).parts)
      loss += part.loss.item<double>();
  return loss;
}

}  // namespace

ConditionLoss condition_loss(const Transformer& model, const RowSettings& settings, const FlowConfig& flow,
                             const std::vector<EncodedSample>& samples, int64_t rows_per_forward) {
  MMADA_CHECK(flow.kind == FlowKind::kT2i || flow.kind == FlowKind::kMmu, "condition gate: found a flow of ",
              flow_kind_name(flow.kind), ", expected t2i or mmu");
  const at::NoGradGuard no_grad;
  return {mean_loss(model, settings, flow, samples, 0, rows_per_forward),
          mean_loss(model, settings, flow, samples, 1, rows_per_forward)};
}

MetricValues condition_gate(const Transformer& model, const RowSettings& settings, const FlowConfig& flow,
                            SampleEncoder& encoder, const GateOptions& options) {
  const uint64_t seed = stream_key(settings.seed, "gate/" + flow.name);
  const auto source = make_source(flow.source, "dataset.flows." + flow.name + ".source", seed);
  const std::vector<EncodedSample> samples = encoder.encode(next_samples(*source, options.rows));
  const ConditionLoss loss = condition_loss(model, settings, flow, samples, options.rows_per_forward);
  const std::string name = "gate/" + flow.name;
  return {{name + "/true", loss.matched},
          {name + "/shuffled", loss.shuffled},
          {name + "/gap", loss.shuffled - loss.matched}};
}

}  // namespace mmada
