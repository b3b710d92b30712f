// SPDX-License-Identifier: MIT
#include "mmada/trainer/sft_step.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/data/source.h"

namespace mmada {
namespace {

/// Adds the micro-batch's parts to the report; the parts of a step's micro-batches sum to the step's loss.
void add_parts(const Losses& losses, StepReport* report) {
  for (const LossPart& part : losses.parts) {
    const double value = part.loss.item<double>();
    const std::string name = "loss/" + part.flow;
    const auto same = std::find_if(report->parts.begin(), report->parts.end(),
                                   [&](const auto& entry) { return entry.first == name; });
    if (same == report->parts.end())
      report->parts.emplace_back(name, value);
    else
      same->second += value;
    report->loss += part.coefficient * value;
  }
}

}  // namespace

SftStep::SftStep(Model model, SampleEncoder encoder, std::shared_ptr<ChunkWorkers> workers, Options options)
    : model_(std::move(model)),
      encoder_(std::move(encoder)),
      workers_(std::move(workers)),
      options_(std::move(options)) {
  for (const NamedParameter& parameter : parameters()) parameter.tensor.set_requires_grad(true);
  for (const auto& phase : options_.flows.all())
    for (const FlowConfig& flow : phase)
      source_of(flow);  // a mistake in a source shows before the first step
}

SampleSource& SftStep::source_of(const FlowConfig& flow) {
  auto& source = sources_[flow.source_key];
  if (source == nullptr) {
    const uint64_t seed = stream_key(options_.rows.seed, "data/" + flow.source_key);
    source = make_source(flow.source, "dataset.flows." + flow.name + ".source", seed);
  }
  return *source;
}

std::vector<FlowBatch> SftStep::draw(int64_t step) {
  std::vector<FlowBatch> batches;
  for (const FlowConfig& flow : options_.flows.at(step)) {
    SampleSource& source = source_of(flow);
    std::vector<Sample> samples;
    for (int64_t i = 0; i < flow.rows * options_.micro_batches; ++i) samples.push_back(source.next());
    FlowBatch batch{.flow = &flow,
                    .rows = noise_rows(options_.rows, flow, step,
                                       encoder_.encode(samples, flow.given_reasoning_prob > 0,
                                                       flow.masked_words, flow.unlearned_words)),
                    .targets = {}};
    batch.targets = flow_targets(flow.kind, batch.rows, options_.rows.compat);
    batches.push_back(std::move(batch));
  }
  return batches;
}

void SftStep::compute_chunk(const std::vector<FlowBatch>& flows, int64_t slice, int64_t slices,
                            Chunk* chunk) const {
  const std::vector<RowGroup> groups = make_groups(options_.rows, flows, slice, slices);
  for (const RowGroup& group : groups) chunk->tokens += group.rows.ids_BT.numel();
  chunk->losses = weighted_losses(model_.transformer, groups);
  std::vector<at::Tensor> weights;
  for (const NamedParameter& parameter : parameters()) weights.push_back(parameter.tensor);
  if (chunk->losses.total.defined())
    chunk->gradients =
        torch::autograd::grad({chunk->losses.total}, weights, /*grad_outputs=*/{},
                              /*retain_graph=*/false, /*create_graph=*/false, /*allow_unused=*/true);
}

void SftStep::add_gradients(const std::vector<at::Tensor>& gradients) const {
  const at::NoGradGuard no_grad;
  const std::vector<NamedParameter> weights = parameters();
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    at::Tensor& sum = weights[i].tensor.mutable_grad();
    if (sum.defined())
      sum.add_(gradients[i]);
    else
      sum = gradients[i];
  }
}

StepReport SftStep::compute(int64_t step) {
  StepReport report;
  const std::vector<FlowBatch> flows = draw(step);
  const int64_t chunks = workers_->chunks();
  for (int64_t micro = 0; micro < options_.micro_batches; ++micro) {
    std::vector<Chunk> computed(chunks);
    workers_->run([&](int64_t i) {
      compute_chunk(flows, micro * chunks + i, options_.micro_batches * chunks, &computed[i]);
    });
    for (const Chunk& chunk : computed) {  // in order: sums in floating point depend on it
      add_gradients(chunk.gradients);
      add_parts(chunk.losses, &report);
      report.tokens += chunk.tokens;
    }
  }
  for (const FlowBatch& flow : flows) report.rows += static_cast<int64_t>(flow.rows.size());
  return report;
}

Json SftStep::state() const {
  Json sources = Json::object();
  for (const auto& [key, source] : sources_) sources[key] = source->state();
  return {{"sources", sources}};
}

void SftStep::restore(const Json& state) {
  Fields fields(state, "state.json", "train_step");
  Fields sources = fields.object("sources");
  for (auto& [key, source] : sources_) {
    const Json& position = sources.raw(key);
    if (position.is_null()) sources.fail(key, "nothing", "the data position of this flow");
    source->restore(position);
  }
  sources.finish();
  fields.finish();
}

void SftStep::save_model(const std::string& directory) const {
  mmada::save_model(model_, directory, options_.tokenizer_source);
}

Evaluation SftStep::evaluate(int64_t step) {
  Evaluation found;
  for (const FlowConfig& flow : options_.flows.at(step))
    if (flow.kind == FlowKind::kT2i || flow.kind == FlowKind::kMmu) {
      const MetricValues gate =
          condition_gate(model_.transformer, options_.rows, flow, encoder_, options_.gate);
      found.values.insert(found.values.end(), gate.begin(), gate.end());
    }
  return found;
}

}  // namespace mmada
