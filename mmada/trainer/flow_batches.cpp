// SPDX-License-Identifier: MIT
#include "mmada/trainer/flow_batches.h"

#include <numeric>

#include "mmada/core/check.h"
#include "mmada/data/source.h"

namespace mmada {
FlowBatches::FlowBatches(BatchPlan plan, SampleEncoder encoder, const Group& group)
    : plan_(std::move(plan)),
      encoder_(std::move(encoder)),
      rank_(group.rank()),
      processes_(group.size()),
      ahead_(
          "rows", "step", [this](int64_t step) { return draw(step); }, plan_.steps) {
  for (const auto& phase : plan_.flows.all())
    for (const FlowConfig& flow : phase) source_of(flow);
  taken_ = positions();
}

SampleSource& FlowBatches::source_of(const FlowConfig& flow) {
  auto& source = sources_[flow.source_key];
  if (source == nullptr) {
    const uint64_t seed = stream_key(plan_.rows.seed, "data/" + flow.source_key);
    source = make_source(flow.source, "dataset.flows." + flow.name + ".source", seed);
  }
  return *source;
}

/// This process's rows of each micro-batch, among the step's rows of a flow.
std::vector<Span> FlowBatches::shares_of(const FlowConfig& flow) const {
  const int64_t slices = plan_.micro_batches * processes_, total = flow.rows * plan_.micro_batches;
  std::vector<Span> shares;
  for (int64_t slice = rank_; slice < slices; slice += processes_)
    shares.push_back({total * slice / slices, total * (slice + 1) / slices});
  return shares;
}

std::vector<FlowBatches::MicroBatch> FlowBatches::draw(int64_t step) {
  std::vector<MicroBatch> batches(plan_.micro_batches);
  for (const FlowConfig& flow : plan_.flows.at(step)) {
    SampleSource& source = source_of(flow);
    const std::vector<Span> shares = shares_of(flow);
    const int64_t own = std::accumulate(shares.begin(), shares.end(), int64_t{0},
                                        [](int64_t sum, const Span& share) { return sum + share.size(); });
    const int64_t total = flow.rows * plan_.micro_batches;
    int64_t passed = 0, made = 0;
    for (size_t micro = 0; micro < shares.size(); ++micro) {
      const Span share = shares[micro];
      source.skip(share.begin - passed);
      const std::vector<EncodedSample> samples =
          encoder_.encode(next_samples(source, share.size()), flow.given_reasoning_prob > 0,
                          flow.masked_words, flow.unlearned_words);
      passed = share.end;
      const RowPlace place =
          plan_.rows.identical_rank_streams ? RowPlace{made, own} : RowPlace{share.begin, total};
      made += share.size();
      batches[micro].push_back(
          {.flow = &flow, .rows = noise_rows(plan_.rows, flow, step, samples, place), .targets = {}});
    }
    source.skip(total - passed);
  }
  return batches;
}

std::vector<FlowBatches::MicroBatch> FlowBatches::take(int64_t step) {
  return ahead_.take(step, [this] { taken_ = positions(); });
}

SampleEncoder& FlowBatches::encoder() {
  ahead_.wait();
  return encoder_;
}

Json FlowBatches::positions() const {
  Json positions = Json::object();
  for (const auto& [key, source] : sources_) positions[key] = source->state();
  return positions;
}

Json FlowBatches::state() const { return taken_; }

void FlowBatches::restore(Fields& positions) {
  ahead_.forget();
  for (auto& [key, source] : sources_) {
    const Json& position = positions.raw(key);
    if (position.is_null()) positions.fail(key, "nothing", "the data position of this flow");
    source->restore(position);
  }
  taken_ = this->positions();
}

}  // namespace mmada
