// SPDX-License-Identifier: MIT
#include "mmada/trainer/sft_step.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "mmada/core/check.h"
#include "mmada/data/source.h"
#include "mmada/model/peft_adapter.h"
#include "mmada/trainer/utilization.h"

namespace mmada {
namespace {

size_t index_of(const std::vector<FlowConfig>& flows, const std::string& name) {
  const auto same = std::ranges::find_if(flows, [&](const FlowConfig& flow) { return flow.name == name; });
  return static_cast<size_t>(same - flows.begin());
}

std::vector<Sample> take(SampleSource& source, int64_t count) {
  std::vector<Sample> samples;
  for (int64_t i = 0; i < count; ++i) samples.push_back(source.next());
  return samples;
}

bool has_targets(const RowGroup& group) {
  return std::ranges::any_of(group.targets,
                             [](const WeightedTargets& targets) { return targets.positions_N.size(0) > 0; });
}

}  // namespace

SftStep::SftStep(Model model, std::unique_ptr<ShardedTransformer> transformer, SampleEncoder encoder,
                 Options options)
    : model_(std::move(model)),
      transformer_(std::move(transformer)),
      encoder_(std::move(encoder)),
      options_(std::move(options)) {
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

std::vector<SftStep::MicroBatch> SftStep::draw(int64_t step) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<MicroBatch> batches(options_.micro_batches);
  for (const FlowConfig& flow : options_.flows.at(step)) {
    SampleSource& source = source_of(flow);
    const std::vector<Span> shares = shares_of(flow);
    const int64_t own = std::accumulate(shares.begin(), shares.end(), int64_t{0},
                                        [](int64_t sum, const Span& share) { return sum + share.size(); });
    const int64_t total = flow.rows * options_.micro_batches;
    int64_t passed = 0, made = 0;
    for (size_t micro = 0; micro < shares.size(); ++micro) {
      const Span share = shares[micro];
      source.skip(share.begin - passed);
      const std::vector<EncodedSample> samples = encoder_.encode(
          take(source, share.size()), flow.given_reasoning_prob > 0, flow.masked_words, flow.unlearned_words);
      passed = share.end;
      const RowPlace place =
          options_.rows.identical_rank_streams ? RowPlace{made, own} : RowPlace{share.begin, total};
      made += share.size();
      batches[micro].push_back(
          {.flow = &flow, .rows = noise_rows(options_.rows, flow, step, samples, place), .targets = {}});
    }
    source.skip(total - passed);
  }
  data_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return batches;
}

/// This process's rows of each micro-batch, among the step's rows of a flow.
std::vector<Span> SftStep::shares_of(const FlowConfig& flow) const {
  const int64_t slices = options_.micro_batches * group().size(), total = flow.rows * options_.micro_batches;
  std::vector<Span> shares;
  for (int64_t slice = group().rank(); slice < slices; slice += group().size())
    shares.push_back({total * slice / slices, total * (slice + 1) / slices});
  return shares;
}

/// Every target's weight, by what the processes count together.
void SftStep::weigh(const std::vector<FlowConfig>& flows, std::vector<MicroBatch>* batches) const {
  const LossCompat& compat = options_.rows.compat;
  std::vector<double> targets(flows.size());
  for (const MicroBatch& batch : *batches)
    for (size_t i = 0; i < batch.size(); ++i)
      targets[i] += static_cast<double>(flow_totals(flows[i].kind, batch[i].rows, compat).targets);
  targets = group().sum(targets);
  for (MicroBatch& batch : *batches)
    for (size_t i = 0; i < batch.size(); ++i)
      batch[i].targets = flow_targets(
          flows[i].kind, batch[i].rows,
          {.rows = flows[i].rows * options_.micro_batches, .targets = static_cast<int64_t>(targets[i])},
          compat);
}

/// The passes of each micro-batch: as many in every process, some of them without rows.
std::vector<std::vector<RowGroup>> SftStep::passes(const std::vector<MicroBatch>& batches) const {
  std::vector<std::vector<RowGroup>> groups;
  std::vector<int64_t> own;
  for (const MicroBatch& batch : batches) {
    groups.push_back(make_groups(options_.rows, batch, 0, 1));
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
    report.parts.emplace_back("loss/" + flows[i].name, sums[i]);
    report.loss += flows[i].coefficient * sums[i];
    const int64_t rows = flows[i].rows * options_.micro_batches;
    report.rows += rows;
    report.padded_tokens += rows * row_length(options_.rows, flows[i]);
  }
  return report;
}

StepReport SftStep::compute(int64_t step) {
  const std::vector<FlowConfig>& flows = options_.flows.at(step);
  std::vector<MicroBatch> batches = draw(step);
  weigh(flows, &batches);
  transformer_->shards().release_all();  // the optimizer has changed the shards
  std::vector<double> sums(flows.size());
  int64_t tokens = 0;
  double flops = 0;
  for (const std::vector<RowGroup>& micro : passes(batches))
    for (const RowGroup& rows : micro) {  // each pass backward at once: one pass's activations at a time
      if (rows.targets.empty()) {
        transformer_->idle_pass().backward();
        continue;
      }
      const Losses losses = weighted_losses(token_logprobs(*transformer_), {rows});
      losses.total.backward();
      for (const LossPart& part : losses.parts) sums[index_of(flows, part.flow)] += part.loss.item<double>();
      tokens += rows.rows.ids_BT.numel();
      flops += training_flops(transformer_->config(), rows);
    }
  return report(flows, std::move(sums), tokens, flops);
}

Json SftStep::state() const {
  Json sources = Json::object();
  for (const auto& [key, source] : sources_) sources[key] = source->state();
  Json state = {{"sources", sources}};
  if (transformer_->lora()) state["lora_base"] = lora_base();
  return state;
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
  if (transformer_->lora()) check_lora_base(fields.object("lora_base"));
  fields.finish();
}

/// What the adapters stand on.
Json SftStep::lora_base() const {
  return {{"source", model_.source}, {"sha256", transformer_->base_sha256()}};
}

void SftStep::check_lora_base(Fields saved) const {
  const std::string source = saved.string("source", ""), sha256 = saved.string("sha256");
  if (sha256 != transformer_->base_sha256())
    saved.fail("sha256", cat(sha256, " (of \"", source, "\")"),
               cat(transformer_->base_sha256(), ", that of this run's frozen weights as it holds them (of \"",
                   model_.source, "\"): adapters go on upon the base that they were trained on"));
  saved.finish();
}

std::function<void()> SftStep::stage_model(const std::string& directory) {
  const bool writes = group().rank() == 0;
  const auto model = std::make_shared<Model>(model_);
  model->transformer = transformer_->whole(options_.weights.device(at::kCPU), writes);
  const std::optional<LoraOptions> lora = transformer_->lora();
  const auto adapters = transformer_->adapters(writes);
  if (!writes) return [] {};
  return [model, directory, tokenizer_source = options_.tokenizer_source, lora, adapters] {
    mmada::save_model(*model, directory, tokenizer_source);
    if (lora) save_peft_adapter(directory + "_adapter", *lora, model->source, adapters);
  };
}

/// Fresh samples of the first t2i flow, the same ones at every validation.
std::vector<Sample> SftStep::panels(int64_t step) const {
  for (const FlowConfig& flow : options_.flows.at(step))
    if (flow.kind == FlowKind::kT2i && options_.validation.panels > 0) {
      const auto source = make_source(flow.source, "dataset.flows." + flow.name + ".source",
                                      stream_key(options_.validation.seed, "validation/" + flow.name));
      return take(*source, options_.validation.panels);
    }
  return {};
}

Evaluation SftStep::validate(int64_t step, const std::string& directory) {
  const bool generates = group().rank() == 0;
  Model model = model_;
  model.transformer = transformer_->whole(options_.weights, generates);
  Evaluation found;
  group().agree("validation", [&] {
    if (!generates) return;
    const auto& images = encoder_.image_tokenizer();
    const Generator generate = images == nullptr ? Generator(model) : Generator(model, *images);
    found = mmada::validate(generate, options_.validation, panels(step), directory);
  });
  return found;
}

Evaluation SftStep::evaluate(int64_t step) {
  const bool measures = group().rank() == 0;
  const Transformer whole = transformer_->whole(options_.weights, measures);
  Evaluation found;
  group().agree("evaluation", [&] {
    if (!measures) return;
    for (const FlowConfig& flow : options_.flows.at(step))
      if (flow.kind == FlowKind::kT2i || flow.kind == FlowKind::kMmu) {
        const MetricValues gate = condition_gate(whole, options_.rows, flow, encoder_, options_.gate);
        found.values.insert(found.values.end(), gate.begin(), gate.end());
      }
  });
  return found;
}

}  // namespace mmada
