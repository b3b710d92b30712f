// SPDX-License-Identifier: MIT
#include "mmada/trainer/flow_rows.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "mmada/core/check.h"

namespace mmada {
namespace {

/// Makes the reasoning prompt. A row cut inside its reasoning keeps what it has: it holds no answer to learn.
void give_reasoning(const TokenLayout& layout, const EncodedSample& sample, Row* row) {
  const bool own_bos = !sample.text.empty() && sample.text.front() == layout.bos;
  const int64_t end = row->text.begin + sample.reasoning_end + (own_bos ? 0 : 1);
  if (sample.reasoning_end == 0 || end >= row->text.end || row->prompt.empty()) return;
  std::fill(row->prompt.begin() + row->text.begin, row->prompt.begin() + end, true);
}

/// Makes prompt of what the sample shows; of the padding too where no answer is to end in it.
void show(const TokenLayout& layout, const EncodedSample& sample, Row* row) {
  if (sample.shown.empty() || row->prompt.empty()) return;
  const bool own_bos = sample.text.front() == layout.bos;
  const int64_t begin = row->text.begin + (own_bos ? 0 : 1);
  for (int64_t i = 0; i < static_cast<int64_t>(sample.shown.size()) && begin + i < row->text.end; ++i)
    if (sample.shown[i]) row->prompt[begin + i] = true;
  if (sample.reasoning_end == 0) std::fill(row->prompt.begin() + row->text.end - 1, row->prompt.end(), true);
}

void forget(const std::vector<int64_t>& unlearned, NoisedRow* row) {
  std::erase_if(row->predicted, [&](int64_t position) {
    return std::find(unlearned.begin(), unlearned.end(), row->clean[position]) != unlearned.end();
  });
}

/// The rows of one flow in one micro-batch, cut and ordered.
struct Slice {
  const FlowConfig* flow;
  std::vector<const NoisedRow*> rows;
  std::vector<RowTargets> targets;
  int64_t cut = 0;     ///< tokens dropped on the left
  int64_t length = 0;  ///< of the rows of the batch: shorter ones are filled up
};

Slice slice_of(const RowSettings& settings, const FlowBatch& batch, int64_t micro_batch,
               int64_t micro_batches) {
  const auto total = static_cast<int64_t>(batch.rows.size());
  std::vector<int64_t> order(total * (micro_batch + 1) / micro_batches - total * micro_batch / micro_batches);
  std::iota(order.begin(), order.end(), total * micro_batch / micro_batches);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return batch.rows[a].valid.begin < batch.rows[b].valid.begin;
  });
  Slice slice{.flow = batch.flow, .rows = {}, .targets = {}};
  if (order.empty()) return slice;
  // Rotary positions are relative, so a hidden prefix that all rows share can go.
  if (settings.attention_mode == AttentionMode::kHard) slice.cut = batch.rows[order.front()].valid.begin;
  slice.length = row_length(settings, *batch.flow) - slice.cut;
  for (const int64_t i : order) {
    slice.rows.push_back(&batch.rows[i]);
    slice.targets.push_back(batch.targets[i]);
  }
  return slice;
}

WeightedTargets targets_of(const RowSettings& settings, const Slice& slice,
                           const std::vector<int64_t>& begins) {
  return join_targets(slice.targets, begins, flow_window(slice.flow->kind, settings.layout, settings.compat),
                      slice.flow->name, slice.flow->coefficient);
}

RowGroup join_slices(const RowSettings& settings, const std::vector<Slice>& slices, int64_t length) {
  RowGroup group;
  std::vector<int64_t> ids;
  for (const Slice& slice : slices) {
    std::vector<int64_t> begins;
    for (const NoisedRow* row : slice.rows) {
      const auto begin = static_cast<int64_t>(ids.size());
      begins.push_back(begin - slice.cut);
      ids.insert(ids.end(), row->ids.begin() + slice.cut, row->ids.end());
      ids.resize(begin + length, settings.layout.eos);
      group.rows.valid.push_back({row->valid.begin - slice.cut, row->valid.end - slice.cut});
    }
    group.targets.push_back(targets_of(settings, slice, begins));
  }
  group.rows.ids_BT = at::tensor(ids, at::kLong).reshape({-1, length});
  group.rows.mode = settings.attention_mode;
  return group;
}

RowGroup pack_slices(const RowSettings& settings, const std::vector<Slice>& slices) {
  RowGroup group;
  group.rows.offsets = {0};
  std::vector<int64_t> ids;
  for (const Slice& slice : slices) {
    std::vector<int64_t> begins;
    for (const NoisedRow* row : slice.rows) {
      begins.push_back(static_cast<int64_t>(ids.size()) - row->valid.begin);
      ids.insert(ids.end(), row->ids.begin() + row->valid.begin, row->ids.begin() + row->valid.end);
      group.rows.offsets.push_back(static_cast<int64_t>(ids.size()));
    }
    group.targets.push_back(targets_of(settings, slice, begins));
  }
  group.rows.ids_BT = at::tensor(ids, at::kLong).unsqueeze(0);
  return group;
}

}  // namespace

int64_t row_length(const RowSettings& settings, const FlowConfig& flow) {
  return flow.length > 0 ? flow.length : settings.text_budget + settings.image_tokens + 3;
}

namespace {

Row padded_row(const RowSettings& settings, const FlowConfig& flow, const EncodedSample& sample,
               bool drop_condition) {
  const TokenLayout& layout = settings.layout;
  const auto require_picture = [&] {
    MMADA_CHECK(
        static_cast<int64_t>(sample.image.size()) == settings.image_tokens && settings.image_tokens > 0,
        "flow ", flow.name, ": found ", sample.image.size(), " image tokens in a sample, expected ",
        settings.image_tokens);
  };
  switch (flow.kind) {
    case FlowKind::kT2i:
      require_picture();
      return drop_condition ? t2i_uncond_row(layout, sample.image, settings.text_budget)
                            : t2i_row(layout, sample.text, sample.image, settings.text_budget);
    case FlowKind::kMmu:
      require_picture();
      return mmu_row(layout, sample.image, sample.text, settings.text_budget);
    case FlowKind::kR2i:
      require_picture();
      return r2i_row(layout, sample.text, sample.image, settings.text_budget);
    case FlowKind::kLm:
      return lm_row(layout, sample.text, row_length(settings, flow));
    case FlowKind::kLmChat:
      break;
  }
  const int64_t length = row_length(settings, flow);
  return flow.all_turns ? lm_chat_row_all_turns(layout, sample.text, settings.assistant, length)
                        : lm_chat_row(layout, sample.text, length);
}

}  // namespace

Row make_row(const RowSettings& settings, const FlowConfig& flow, const EncodedSample& sample,
             bool drop_condition) {
  return without_padding(padded_row(settings, flow, sample, drop_condition), settings.supervised_eos_tail);
}

std::vector<NoisedRow> noise_rows(const RowSettings& settings, const FlowConfig& flow, int64_t step,
                                  const std::vector<EncodedSample>& samples, const RowPlace& place) {
  const std::vector<double> times =
      draw_times(settings.seed, flow.name, step, place.total, settings.stratified_times);
  std::vector<NoisedRow> rows;
  rows.reserve(samples.size());
  for (size_t i = 0; i < samples.size(); ++i) {
    const int64_t index = place.begin + static_cast<int64_t>(i);
    const auto happens = [&](const char* what, double probability) {
      return probability > 0 &&
             row_stream(settings.seed, what, flow.name, step, index).uniform() < probability;
    };
    Row row = make_row(settings, flow, samples[i], happens("condition", flow.cond_dropout_prob));
    if (happens("reasoning", flow.given_reasoning_prob)) give_reasoning(settings.layout, samples[i], &row);
    show(settings.layout, samples[i], &row);
    Rng rng = row_stream(settings.seed, "mask", flow.name, step, index);
    rows.push_back(flow.kind == FlowKind::kT2i
                       ? noise_image_row(settings.layout, row, flow.image_noise, times[index], rng)
                       : noise_text_row(settings.layout, row, flow.text_noise, times[index], rng));
    forget(samples[i].unlearned, &rows.back());
  }
  return rows;
}

std::vector<RowGroup> make_groups(const RowSettings& settings, const std::vector<FlowBatch>& flows,
                                  int64_t micro_batch, int64_t micro_batches) {
  std::map<int64_t, std::vector<Slice>> by_length;
  for (const FlowBatch& batch : flows) {
    Slice slice = slice_of(settings, batch, micro_batch, micro_batches);
    if (slice.rows.empty()) continue;
    const int64_t length = settings.packed ? 0 : slice.length;
    by_length[length].push_back(std::move(slice));
  }
  std::vector<RowGroup> groups;
  for (const auto& [length, slices] : by_length)
    groups.push_back(settings.packed ? pack_slices(settings, slices) : join_slices(settings, slices, length));
  return groups;
}

}  // namespace mmada
