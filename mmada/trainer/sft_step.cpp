// SPDX-License-Identifier: MIT
#include "mmada/trainer/sft_step.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>

#include "mmada/core/check.h"
#include "mmada/data/source.h"
#include "mmada/trainer/utilization.h"

namespace mmada {
namespace {

int64_t index_of(const std::vector<FlowConfig>& flows, const std::string& name) {
  const auto same = std::ranges::find_if(flows, [&](const FlowConfig& flow) { return flow.name == name; });
  return same - flows.begin();
}

bool has_targets(const RowGroup& group) {
  return std::ranges::any_of(group.targets,
                             [](const WeightedTargets& targets) { return targets.positions_N.size(0) > 0; });
}

}  // namespace

SftStep::SftStep(Network network, SampleEncoder encoder, Options options)
    : TransformerStep(std::move(network)),
      gate_(options.gate),
      validation_(std::move(options.validation)),
      batches_(std::move(options.batches), std::move(encoder), group()) {}

/// Every target's weight, by what the processes count together: the number of targets of each flow.
std::vector<double> SftStep::weigh(const std::vector<FlowConfig>& flows,
                                   std::vector<MicroBatch>* batches) const {
  const LossCompat& compat = plan().rows.compat;
  std::vector<double> targets(flows.size());
  for (const MicroBatch& batch : *batches)
    for (size_t i = 0; i < batch.size(); ++i)
      targets[i] += static_cast<double>(flow_totals(flows[i].kind, batch[i].rows, compat).targets);
  targets = group().sum(targets);
  for (MicroBatch& batch : *batches)
    for (size_t i = 0; i < batch.size(); ++i)
      batch[i].targets = flow_targets(
          flows[i].kind, batch[i].rows,
          {.rows = flows[i].rows * plan().micro_batches, .targets = static_cast<int64_t>(targets[i])},
          compat);
  return targets;
}

/// The passes of each micro-batch: as many in every process, some of them without rows.
std::vector<std::vector<RowGroup>> SftStep::passes(const std::vector<MicroBatch>& batches) const {
  std::vector<std::vector<RowGroup>> groups;
  std::vector<int64_t> own;
  for (const MicroBatch& batch : batches) {
    groups.push_back(make_groups(plan().rows, batch, 0, 1));
    std::erase_if(groups.back(), [](const RowGroup& rows) { return !has_targets(rows); });
    own.push_back(static_cast<int64_t>(groups.back().size()));
  }
  const std::vector<int64_t> most = group().largest(own);
  for (size_t i = 0; i < groups.size(); ++i) groups[i].resize(static_cast<size_t>(most[i]));
  return groups;
}

StepReport SftStep::report(const std::vector<FlowConfig>& flows, std::vector<double> losses, int64_t tokens,
                           double flops) const {
  losses.insert(losses.end(), {static_cast<double>(tokens), flops});
  const std::vector<double> sums = group().sum(std::move(losses));
  StepReport report;
  report.data_seconds = data_seconds_;
  report.tokens = static_cast<int64_t>(sums[flows.size()]);
  report.flops = sums[flows.size() + 1];
  for (size_t i = 0; i < flows.size(); ++i) {
    report.parts.emplace_back("step_loss_" + flows[i].name, sums[i]);
    report.loss += flows[i].coefficient * sums[i];
    const int64_t rows = flows[i].rows * plan().micro_batches;
    report.rows += rows;
    report.padded_tokens += rows * row_length(plan().rows, flows[i]);
  }
  return report;
}

/// Of the images that are drawn, whose masked tokens alone are targets.
void SftStep::add_masking_rate(const std::vector<FlowConfig>& flows, const std::vector<double>& targets,
                               StepReport* report) const {
  double masked = 0, tokens = 0;
  for (size_t i = 0; i < flows.size(); ++i) {
    if (flows[i].kind != FlowKind::kT2i) continue;
    masked += targets[i];
    tokens += static_cast<double>(flows[i].rows * plan().micro_batches * plan().rows.image_tokens);
  }
  if (tokens > 0) report->parts.emplace_back("avg_masking_rate", masked / tokens);
}

StepReport SftStep::compute(int64_t step) {
  const std::vector<FlowConfig>& flows = plan().flows.at(step);
  const auto begin = std::chrono::steady_clock::now();
  std::vector<MicroBatch> batches = batches_.take(step);
  data_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const std::vector<double> targets = weigh(flows, &batches);
  transformer().shards().release_all();  // the optimizer has changed the shards
  const at::Tensor sums = zero_sums(std::ssize(flows));
  int64_t tokens = 0;
  double flops = 0;
  for (const std::vector<RowGroup>& micro : passes(batches))
    for (const RowGroup& rows : micro) {  // each pass backward at once: one pass's activations at a time
      if (rows.targets.empty()) {
        transformer().idle_pass().backward();
        continue;
      }
      const Losses losses = weighted_losses(token_logprobs(transformer()), {rows});
      losses.total.backward();
      for (const LossPart& part : losses.parts)
        sums.select(0, index_of(flows, part.flow)).add_(part.loss.detach());
      tokens += rows.rows.ids_BT.numel();
      flops += training_flops(transformer().config(), rows);
    }
  StepReport done = report(flows, read_sums(sums), tokens, flops);
  add_masking_rate(flows, targets, &done);
  return done;
}

Json SftStep::state() const {
  Json state = {{"sources", batches_.state()}};
  add_lora_base(&state);
  return state;
}

void SftStep::restore(const Json& state) {
  Fields fields(state, "state.json", "train_step");
  check_lora_base(fields);  // first: what else is wrong may be allowed
  Fields sources = fields.object("sources");
  batches_.restore(sources);
  sources.finish();
  fields.finish();
}

/// Fresh samples of the first t2i flow, the same ones at every validation.
std::vector<Sample> SftStep::panels(int64_t step) const {
  for (const FlowConfig& flow : plan().flows.at(step))
    if (flow.kind == FlowKind::kT2i && validation_.panels > 0) {
      const auto source = make_source(flow.source, "dataset.flows." + flow.name + ".source",
                                      stream_key(validation_.seed, "validation/" + flow.name));
      return next_samples(*source, validation_.panels);
    }
  return {};
}

Evaluation SftStep::validate(int64_t step, const std::string& directory) {
  const bool generates = group().rank() == 0;
  const Model model = whole_model(generates);
  Evaluation found;
  group().agree("validation", [&] {
    if (!generates) return;
    const auto& images = batches_.encoder().image_tokenizer();
    const Generator generate = images == nullptr ? Generator(model) : Generator(model, *images);
    found = mmada::validate(generate, validation_, panels(step), directory);
  });
  return found;
}

Evaluation SftStep::evaluate(int64_t step) {
  const bool measures = group().rank() == 0;
  const Transformer whole = whole_model(measures).transformer;
  Evaluation found;
  group().agree("evaluation", [&] {
    if (!measures) return;
    for (const FlowConfig& flow : plan().flows.at(step))
      if (flow.kind == FlowKind::kT2i || flow.kind == FlowKind::kMmu) {
        const MetricValues gate = condition_gate(whole, plan().rows, flow, batches_.encoder(), gate_);
        found.values.insert(found.values.end(), gate.begin(), gate.end());
      }
  });
  return found;
}

}  // namespace mmada
