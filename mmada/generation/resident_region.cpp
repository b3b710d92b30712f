// SPDX-License-Identifier: MIT
#include "mmada/generation/resident_region.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "mmada/core/check.h"

namespace mmada {
namespace {

Span extent(const Region& region) { return {region.positions.front(), region.positions.back() + 1}; }

std::optional<RemaskSchedule> schedule_of(const ResidentRow& row) {
  const Region& region = *row.region;
  return region.commit->schedule({.steps = region.steps,
                                  .slots = static_cast<int64_t>(region.positions.size()),
                                  .unknown_at_start = row.unknown_at_start});
}

std::optional<GuidanceMix> mix_of(const Region& region) {
  return region.guidance ? std::optional(region.guidance->mix()) : std::nullopt;
}

/// Whether every MASK between the region's ends is one of its positions.
bool masks_are_the_regions(const ResidentRow& row, int64_t mask) {
  const auto& positions = row.region->positions;
  const Span span = extent(*row.region);
  for (int64_t i = span.begin; i < span.end; ++i)
    if (row.canvas->ids[i] == mask && !std::binary_search(positions.begin(), positions.end(), i))
      return false;
  return true;
}

/// A twin's tokens that do not follow its row's, told by what becomes of two different rows.
std::vector<std::pair<int64_t, int64_t>> fixed_tokens(const GuidancePolicy& guidance, size_t length) {
  const TokenIds zeros = guidance.paired_ids(TokenIds(length, 0)),
                 ones = guidance.paired_ids(TokenIds(length, 1));
  std::vector<std::pair<int64_t, int64_t>> fixed;
  for (size_t i = 0; i < length; ++i)
    if (zeros[i] == ones[i]) fixed.push_back({static_cast<int64_t>(i), zeros[i]});
  return fixed;
}

at::Tensor integers(const std::vector<int32_t>& values) { return at::tensor(values, at::kInt); }

}  // namespace

bool ResidentRegion::takes(const ResidentRow& row, int64_t mask, c10::ScalarType weights) {
  const Canvas& canvas = *row.canvas;
  const Region& region = *row.region;
  const auto schedule = schedule_of(row);
  const bool host_arithmetic =
      region.select_in_double || (region.sample_in_weight_dtype && weights != at::kFloat);
  // the rule's noise counts the region's steps, the host's loop the row's
  const bool noisy_later = schedule && !schedule->temperatures.empty() && row.first_step > 0;
  return schedule && !host_arithmetic && !noisy_later && !region.reach && !canvas.mask_grows &&
         canvas.stop.kind != EarlyStop::kAllRowsBlock && !region.positions.empty() &&
         masks_are_the_regions(row, mask);
}

bool ResidentRegion::together(const ResidentRow& a, const ResidentRow& b) {
  const Region &x = *a.region, &y = *b.region;
  const auto settings = [](const ResidentRow& row) {
    const Region& r = *row.region;
    return std::tie(r.window.begin, r.window.end, r.banned, r.never_confident, r.steps, r.temperature,
                    r.top_k, r.top_p, r.confidence, row.canvas->attention, row.canvas->seed);
  };
  const bool same_length =
      a.canvas->attention == AttentionMode::kHard || a.canvas->ids.size() == b.canvas->ids.size();
  const auto p = schedule_of(a), q = schedule_of(b);
  return settings(a) == settings(b) && same_length && extent(x).size() == extent(y).size() &&
         mix_of(x) == mix_of(y) && p->rule == q->rule && p->threshold == q->threshold &&
         p->temperatures == q->temperatures;
}

ResidentRegion::ResidentRegion(ForwardModel model, int64_t mask, int64_t pad, const Rows& rows)
    : model_(std::move(model)),
      mask_(mask),
      window_(rows.front().region->window),
      slots_(extent(*rows.front().region).size()),
      keys_(noise_keys(rows.front().canvas->seed, model_.options().device())) {
  for (const ResidentRow& row : rows) ends_.push_back({row.canvas->stop, row.canvas->ids.size()});
  lay_tokens(rows, pad);
  lay_streams(rows);
  lay_rule(rows);
}

/// Tokens, counters and flags of the canvas rows.
void ResidentRegion::lay_tokens(const Rows& rows, int64_t pad) {
  const at::Device device = model_.options().device();
  const auto batch = static_cast<int64_t>(rows.size());
  int64_t length = 0;
  for (const ResidentRow& row : rows) length = std::max(length, static_cast<int64_t>(row.canvas->ids.size()));
  const at::Tensor tokens_BT = at::full({batch, length}, pad, at::kInt);
  std::vector<int32_t> begins, first_steps;
  std::vector<int64_t> slot_index;
  for (int64_t b = 0; b < batch; ++b) {
    const TokenIds& ids = rows[b].canvas->ids;
    std::copy(ids.begin(), ids.end(), tokens_BT.mutable_data_ptr<int32_t>() + b * length);
    const int64_t begin = extent(*rows[b].region).begin;
    begins.push_back(static_cast<int32_t>(begin));
    first_steps.push_back(static_cast<int32_t>(rows[b].first_step));
    for (int64_t slot = 0; slot < slots_; ++slot) slot_index.push_back(b * length + begin + slot);
  }
  const auto zeros = [&](std::vector<int64_t> shape, at::ScalarType type) {
    return at::zeros(shape, at::TensorOptions().dtype(type).device(device));
  };
  state_ = {.tokens_BT = tokens_BT.to(device),
            .steps_B = zeros({batch}, at::kInt),
            .done_B = zeros({batch}, at::kByte),
            .commit_steps_BT = {}};
  first_tokens_BT_ = state_.tokens_BT.clone();
  step_.begins_B = integers(begins).to(device);
  step_.proposals_BR = zeros({batch, slots_}, at::kInt);
  step_.confidence_BR = zeros({batch, slots_}, at::kFloat);
  slot_index_BR_ = at::tensor(slot_index, at::kLong).view({batch, slots_}).to(device);
  first_step_B_ = integers(first_steps).to(device);
  failed_B_ = zeros({batch}, at::kBool);
}

/// The rows of the forward pass: each stream's rows, then, where guided, their twins.
void ResidentRegion::lay_streams(const Rows& rows) {
  const at::Device device = model_.options().device();
  const bool guided = rows.front().region->guidance != nullptr;
  const int64_t hidden_rows = slots_ * (guided ? 2 : 1);
  const int64_t share = std::max<int64_t>(1, kPassRows / hidden_rows), batch = std::ssize(rows);
  std::vector<int64_t> batch_rows;
  std::vector<bool> twins;
  for (int64_t first = 0; first < batch; first += share) {
    const int64_t count = std::min(share, batch - first);
    std::vector<int32_t> positions, streams;
    for (int64_t b = first; b < first + count; ++b)
      for (int64_t slot = 0; slot < slots_; ++slot) {
        positions.push_back(static_cast<int32_t>(extent(*rows[b].region).begin + slot));
        streams.push_back(static_cast<int32_t>(rows[b].canvas->stream));
      }
    const at::Tensor place = integers(positions);
    const at::Tensor noise_3N = at::stack({place, at::zeros_like(place), integers(streams)});
    const SelectParams params = select_params(*rows[first].region);
    streams_.push_back(
        {SelectStream(params, mix_of(*rows[first].region), count * slots_, noise_3N, keys_, device), first,
         count});
    for (const bool twin : guided ? std::vector<bool>{false, true} : std::vector<bool>{false})
      for (int64_t b = first; b < first + count; ++b) batch_rows.push_back(b), twins.push_back(twin);
  }
  lay_batch(rows, batch_rows, twins);
}

void ResidentRegion::lay_batch(const Rows& rows, const std::vector<int64_t>& batch_rows,
                               const std::vector<bool>& twins) {
  const at::Device device = model_.options().device();
  const int64_t batch = std::ssize(batch_rows), length = state_.tokens_BT.size(1);
  Visibility visibility{rows.front().canvas->attention, {}};
  const at::Tensor fixed = at::zeros({batch, length}, at::kBool), ids = at::zeros({batch, length}, at::kInt);
  std::vector<int64_t> read;
  for (int64_t i = 0; i < batch; ++i) {
    const ResidentRow& row = rows[batch_rows[i]];
    const Region& region = *row.region;
    visibility.valid.push_back(twins[i] ? region.guidance->paired_valid(row.canvas->valid)
                                        : row.canvas->valid);
    if (twins[i])
      for (const auto& [position, id] : fixed_tokens(*region.guidance, row.canvas->ids.size())) {
        fixed.mutable_data_ptr<bool>()[i * length + position] = true;
        ids.mutable_data_ptr<int32_t>()[i * length + position] = static_cast<int32_t>(id);
      }
    for (int64_t slot = 0; slot < slots_; ++slot) read.push_back(i * length + extent(region).begin + slot);
  }
  source_ = at::tensor(batch_rows, at::kLong).to(device);
  if (batch > std::ssize(rows)) fixed_ = fixed.to(device), fixed_ids_ = ids.to(device);
  const at::Tensor read_N = at::tensor(read, at::kLong);
  tables_ = model_.tables(batch, length, visibility, read_N);
  const auto element = static_cast<int64_t>(model_.options().dtype().itemsize());
  work_ = layers_work(model_.config(), {fixed, visibility.valid, visibility.mode}, read, element);
  for (const Stream& stream : streams_)
    work_ += head_work(model_.config(), stream.select.hidden_rows(), window_.size(), element);
}

/// The commit rule as tables.
void ResidentRegion::lay_rule(const Rows& rows) {
  const at::Device device = model_.options().device();
  const int64_t batch = std::ssize(rows);
  std::vector<int32_t> counts, streams;
  RemaskSchedule schedule;
  for (const ResidentRow& row : rows) {
    schedule = *schedule_of(row);
    counts.insert(counts.end(), schedule.counts.begin(), schedule.counts.end());
    streams.push_back(static_cast<int32_t>(row.canvas->stream));
  }
  step_.rule = schedule.rule;
  step_.steps = rows.front().region->steps;
  step_.mask_id = mask_;
  step_.threshold = schedule.threshold;
  if (!counts.empty()) step_.counts_BS = integers(counts).view({batch, step_.steps}).to(device);
  if (!schedule.temperatures.empty()) {
    step_.temperatures_S = at::tensor(schedule.temperatures, at::kFloat).to(device);
    step_.streams_B = integers(streams).to(device);
  }
  step_.noise_key = keys_.remask;
}

void ResidentRegion::enqueue() {
  at::Tensor ids = state_.tokens_BT.index_select(0, source_);
  if (fixed_) ids = at::where(*fixed_, *fixed_ids_, ids);
  const at::Tensor hidden_ND = model_.hidden(ids, tables_);
  const at::Tensor head_WD = model_.head(window_), steps_B = first_step_B_ + state_.steps_B;
  int64_t begin = 0;
  for (Stream& stream : streams_) {
    SelectStream& select = stream.select;
    if (select.noise())
      select.noise()
          ->select(0, 1)
          .view({stream.rows, slots_})
          .copy_(steps_B.narrow(0, stream.first, stream.rows).unsqueeze(1).expand({stream.rows, slots_}));
    stream_head(hidden_ND.narrow(0, begin, select.hidden_rows()), head_WD, window_, {&select, 1});
    const SelectAnswers answers = select.answers();
    step_.proposals_BR.narrow(0, stream.first, stream.rows).copy_(answers.ids_N.view({-1, slots_}));
    step_.confidence_BR.narrow(0, stream.first, stream.rows).copy_(answers.confidence_N.view({-1, slots_}));
    begin += select.hidden_rows();
  }
  const at::Tensor open_BR = state_.tokens_BT.take(slot_index_BR_).eq(mask_);
  failed_B_.bitwise_or_(open_BR.bitwise_and_(step_.proposals_BR.eq(kNoChoice)).any(1));
  step_.proposals_BR.clamp_max_(window_.end -
                                1);  // an id that the next step can look up, whatever comes of it
  step_.active_B = state_.done_B.eq(0).to(at::kByte);
  remask_op(state_, step_);
}

void ResidentRegion::restart(uint64_t seed) {
  keys_.set(seed);
  state_.tokens_BT.copy_(first_tokens_BT_);
  state_.steps_B.zero_(), state_.done_B.zero_(), failed_B_.zero_();
  for (RowEnd& end : ends_) end.steps.reset();
  late_.reset();
  taken_ = 0;
}

HostCopy ResidentRegion::report() const {
  return HostCopy({state_.tokens_BT, state_.steps_B, state_.done_B, failed_B_});
}

TokenIds ResidentRegion::ids_of_row(const at::Tensor& tokens_BT, size_t row) const {
  const int32_t* begin = tokens_BT.const_data_ptr<int32_t>() + row * tokens_BT.size(1);
  return {begin, begin + ends_[row].length};
}

void ResidentRegion::look(HostCopy& report) {
  const auto& copies = report.wait();
  const int32_t* steps = copies[1].const_data_ptr<int32_t>();
  const uint8_t* done = copies[2].const_data_ptr<uint8_t>();
  const bool* failed = copies[3].const_data_ptr<bool>();
  for (size_t i = 0; i < ends_.size(); ++i) {
    if (ends_[i].steps) continue;
    MMADA_CHECK(!failed[i], "denoiser: row ", i, " of those filled together, step ", steps[i],
                ": found NaN or nothing but -inf among the logits of a position, expected a finite one to "
                "choose");
    if (done[i] != 0 || end_of_answer(ends_[i].stop, ids_of_row(copies[0], i), mask_))
      ends_[i].steps = steps[i];
  }
}

bool ResidentRegion::finished() const {
  return taken_ == step_.steps ||
         std::all_of(ends_.begin(), ends_.end(), [](const RowEnd& end) { return end.steps.has_value(); });
}

void ResidentRegion::step() {
  enqueue();
  ++taken_;
  std::optional<HostCopy> before = std::exchange(late_, report());
  if (before) look(*before);
}

std::vector<ResidentRegion::Filled> ResidentRegion::collect() {
  if (!late_) late_.emplace(report());
  look(*late_);
  const auto& copies = late_->wait();
  std::vector<Filled> filled;
  for (size_t i = 0; i < ends_.size(); ++i)
    filled.push_back({ids_of_row(copies[0], i), ends_[i].steps.value_or(taken_)});
  return filled;
}

}  // namespace mmada
