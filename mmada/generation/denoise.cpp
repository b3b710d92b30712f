// SPDX-License-Identifier: MIT
#include "mmada/generation/denoise.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>
#include <utility>

#include "mmada/core/check.h"

namespace mmada {
namespace {

void check_canvas(const Canvas& canvas, const TransformerConfig& config) {
  const auto length = static_cast<int64_t>(canvas.ids.size());
  MMADA_CHECK(length > 0, "canvas: found no tokens");
  MMADA_CHECK(length <= config.max_sequence_length, "canvas: found a row of ", length,
              " tokens (prompt and what is to be generated), expected at most the model's "
              "max_sequence_length ",
              config.max_sequence_length);
  MMADA_CHECK(canvas.valid.begin >= 0 && canvas.valid.begin < canvas.valid.end && canvas.valid.end <= length,
              "canvas: valid span: found [", canvas.valid.begin, ", ", canvas.valid.end,
              "), expected a part of [0, ", length, ")");
  for (int64_t i = 0; i < length; ++i)
    MMADA_CHECK(canvas.ids[i] >= 0 && canvas.ids[i] < config.vocab_size, "canvas: id at position ", i,
                ": found ", canvas.ids[i], ", expected 0 to ", config.vocab_size - 1);
  for (const Region& region : canvas.regions) {
    MMADA_CHECK(region.commit != nullptr, "canvas: found a region without a commit rule");
    MMADA_CHECK(region.steps >= 1, "canvas: region steps: found ", region.steps, ", expected at least 1");
    MMADA_CHECK(region.window.begin >= 0 && region.window.begin < region.window.end &&
                    region.window.end <= config.vocab_size,
                "canvas: region window: found [", region.window.begin, ", ", region.window.end,
                "), expected a part of [0, ", config.vocab_size, ")");
    for (const int64_t position : region.positions)
      MMADA_CHECK(canvas.valid.contains(position), "canvas: region position: found ", position,
                  ", expected one in the valid span [", canvas.valid.begin, ", ", canvas.valid.end, ")");
  }
}

bool steps_on_device(Residency residency, at::Device device, const std::vector<Observer*>& observers) {
  const bool watched = std::any_of(observers.begin(), observers.end(),
                                   [](const Observer* observer) { return observer->wants_tokens(); });
  if (residency != Residency::kAuto) {
    MMADA_CHECK(residency == Residency::kHost || !watched,
                "denoiser: found an observer of tokens, expected none where steps stay on the device");
    return residency == Residency::kDevice;
  }
  return device.is_cuda() && !watched;
}

}  // namespace

Denoiser::Denoiser(ForwardModel model, const TokenLayout& layout, std::vector<Observer*> observers,
                   Residency residency)
    : model_(std::move(model)),
      mask_(layout.mask),
      pad_(layout.eos),
      observers_(std::move(observers)),
      device_steps_(steps_on_device(residency, model_.options().device(), observers_)) {
  MMADA_CHECK(mask_ >= 0 && pad_ >= 0, "denoiser: found no id for MASK or eos in the token layout");
}

int64_t Denoiser::add(Canvas canvas) {
  check_canvas(canvas, model_.config());
  RowState row;
  row.number = added_++;
  for (const Region& region : canvas.regions) row.steps += region.steps;
  row.canvas = std::move(canvas);
  rows_.push_back(std::move(row));
  return rows_.back().number;
}

std::vector<FinishedRow> Denoiser::take_finished() { return std::exchange(finished_, {}); }

std::vector<int64_t> Denoiser::candidates(const RowState& row) const {
  const Region& region = row.open_region();
  std::vector<int64_t> positions;
  const auto consider = [&](int64_t position) {
    if (row.canvas.ids[position] == mask_) positions.push_back(position);
  };
  if (region.reach) {
    for (int64_t position = region.reach->begin; position < region.reach->end; ++position) consider(position);
  } else {
    for (const int64_t position : region.positions) consider(position);
  }
  return positions;
}

/// Opens the next region that has something to fill, or marks the row done. Rows that stop together keep in
/// step: they sit through every planned step, idle when nothing is left to fill.
void Denoiser::open_regions(RowState* row) const {
  const auto& regions = row->canvas.regions;
  while (row->region < regions.size()) {
    const Region& region = regions[row->region];
    if (!row->opened) {
      row->opened = true;
      row->region_step = 0;
      row->unknown_at_start =
          std::count_if(region.positions.begin(), region.positions.end(),
                        [&](int64_t position) { return row->canvas.ids[position] == mask_; });
    }
    const bool in_step = row->canvas.stop.kind == EarlyStop::kAllRowsBlock;
    if (row->region_step < region.steps && (in_step || !candidates(*row).empty())) return;
    row->opened = false;
    ++row->region;
  }
  row->done = true;
}

ForwardRequest Denoiser::request(const RowState& row) const {
  const Canvas& canvas = row.canvas;
  const Region& region = canvas.regions[row.region];
  ForwardRequest request{.ids = canvas.ids,
                         .valid = canvas.valid,
                         .paired_ids = {},
                         .paired_valid = {},
                         .attention = canvas.attention,
                         .window = region.window,
                         .positions = candidates(row)};
  if (region.guidance) {
    request.paired_ids = region.guidance->paired_ids(canvas.ids);
    request.paired_valid = region.guidance->paired_valid(canvas.valid);
    const int64_t mask_rows = canvas.mask_grows ? row.step + 2 : 2;
    MMADA_CHECK(
        mask_rows == 2, "stepwise decoding: step ", row.step + 1, ": found an attention mask of ", mask_rows,
        " rows, expected 2 (the published stepwise decoding grows it at every step and fails here under "
        "guidance; use compat fixed)");
  }
  return request;
}

bool Denoiser::step() {
  const c10::NoGradGuard no_grad;
  const bool any = !rows_.empty();
  std::vector<ForwardRequest> requests;
  std::vector<size_t> requesting;
  for (RowState& row : rows_)
    if (!row.resident) open_regions(&row);
  if (device_steps_) admit_residents();
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (rows_[i].done || rows_[i].resident || candidates(rows_[i]).empty()) continue;
    requests.push_back(request(rows_[i]));
    requesting.push_back(i);
  }
  for (const ForwardPlan& plan : make_plans(requests, pad_)) run(plan, requests, requesting);
  for (RowState& row : rows_)
    if (!row.done && !row.resident) close_step(&row);
  step_residents();
  stop_groups();
  collect_done();
  return any;
}

void Denoiser::run(const ForwardPlan& plan, const std::vector<ForwardRequest>& requests,
                   const std::vector<size_t>& rows) {
  RowBatch batch = plan.rows;
  const at::Device device = model_.options().device();
  batch.ids_BT = batch.ids_BT.to(device);
  const at::Tensor hidden_ND = model_.hidden(batch, plan.read_N.to(device));
  const int64_t* read = plan.read_N.const_data_ptr<int64_t>();
  const auto element = static_cast<int64_t>(model_.options().dtype().itemsize());
  Work work = layers_work(model_.config(), plan.rows, {read, read + plan.read_N.numel()}, element);
  for (const HeadSlice& slice : plan.heads) {
    std::vector<HeadRows> groups;
    for (const size_t member : slice.requests)
      groups.push_back(head_rows(rows_[rows[member]], requests[member]));
    const std::vector<Selected> selected = select_from_head(
        hidden_ND.narrow(0, slice.read.begin, slice.read.size()), model_.head(slice.window), groups);
    for (size_t i = 0; i < groups.size(); ++i)
      advance(&rows_[rows[slice.requests[i]]], requests[slice.requests[i]].positions, selected[i]);
    work += head_work(model_.config(), slice.read.size(), slice.window.size(), element);
  }
  for (Observer* observer : observers_) observer->on_forward(work);
}

/// How the row chooses its tokens in this step; refers to the request.
HeadRows Denoiser::head_rows(const RowState& row, const ForwardRequest& request) const {
  const Region& region = row.open_region();
  HeadRows rows{
      .params = select_params(region), .guidance = {}, .in_weight_dtype = region.sample_in_weight_dtype};
  rows.params.positions = request.positions;
  rows.params.noise = noise_of(row);
  if (region.guidance) rows.guidance = region.guidance->mix();
  return rows;
}

NoiseSource Denoiser::noise_of(const RowState& row) const {
  return {row.canvas.seed, row.canvas.stream, static_cast<uint32_t>(row.step)};
}

void Denoiser::advance(RowState* row, const std::vector<int64_t>& positions, const Selected& selected) {
  Canvas& canvas = row->canvas;
  const Region& region = canvas.regions[row->region];
  const auto kept = region.commit->commit({.positions = positions,
                                           .ids = selected.ids,
                                           .confidence = selected.confidence,
                                           .step = row->region_step,
                                           .steps = region.steps,
                                           .slots = static_cast<int64_t>(region.positions.size()),
                                           .unknown_at_start = row->unknown_at_start,
                                           .noise = noise_of(*row)});
  std::vector<int64_t> committed;
  for (const int64_t index : kept) {
    canvas.ids[positions[index]] = selected.ids[index];
    committed.push_back(positions[index]);
  }
  ++row->nfe;
  for (Observer* observer : observers_) {
    observer->on_progress({row->number, row->step, row->steps});
    if (!observer->wants_tokens()) continue;
    observer->on_step({.row = row->number,
                       .step = row->step,
                       .steps = row->steps,
                       .region = static_cast<int64_t>(row->region),
                       .ids = canvas.ids,
                       .committed = committed,
                       .candidates = positions,
                       .proposals = selected.ids,
                       .confidence = selected.confidence});
  }
}

void Denoiser::close_step(RowState* row) const {
  ++row->step;
  ++row->region_step;
  const size_t before = row->region;
  stop_row_at_eos(row);
  if (!row->done) open_regions(row);
  row->block_ended = row->done || row->region != before;
}

/// Passes over the regions that an answer's early end leaves without work; a picture behind it is still to
/// come.
void Denoiser::stop_row_at_eos(RowState* row) const {
  StopRule& stop = row->canvas.stop;
  TokenIds& ids = row->canvas.ids;
  const auto end = end_of_answer(stop, ids, mask_);
  if (!end) return;
  std::fill(ids.begin() + *end, ids.begin() + stop.answer.end, stop.eos);
  stop.kind = EarlyStop::kNever;  // it has done its work
  const auto& regions = row->canvas.regions;
  while (row->region < regions.size() && stop.answer.contains(regions[row->region].positions.front())) {
    row->opened = false;
    ++row->region;
  }
  row->done = row->region == regions.size();
}

/// Takes the regions that were just opened to the device, those of like settings together.
void Denoiser::admit_residents() {
  const c10::ScalarType weights = c10::typeMetaToScalarType(model_.options().dtype());
  std::vector<std::pair<std::vector<int64_t>, std::vector<ResidentRow>>> groups;
  for (RowState& row : rows_) {
    if (row.done || row.resident || row.region_step > 0) continue;
    const ResidentRow resident{&row.canvas, &row.open_region(), row.step, row.unknown_at_start};
    if (!ResidentRegion::takes(resident, mask_, weights)) continue;
    row.resident = true;
    const auto like = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      return ResidentRegion::together(group.second.front(), resident);
    });
    auto& [numbers, members] = like == groups.end() ? groups.emplace_back() : *like;
    numbers.push_back(row.number);
    members.push_back(resident);
  }
  for (auto& [numbers, members] : groups)
    residents_.push_back({numbers, ResidentRegion(model_, mask_, pad_, std::move(members))});
}

void Denoiser::step_residents() {
  for (ResidentGroup& group : residents_) {
    group.region.step();
    for (Observer* observer : observers_) {
      observer->on_forward(group.region.work());
      for (const int64_t number : group.rows) {
        const RowState& row = row_numbered(number);
        observer->on_progress({number, row.step + group.region.taken() - 1, row.steps});
      }
    }
    if (group.region.finished()) land(group);
  }
  std::erase_if(residents_, [](const ResidentGroup& group) { return group.region.finished(); });
}

/// Takes a filled region's tokens back into their rows.
void Denoiser::land(ResidentGroup& group) {
  const auto filled = group.region.collect();
  for (size_t i = 0; i < filled.size(); ++i) {
    RowState& row = row_numbered(group.rows[i]);
    row.canvas.ids = filled[i].ids;
    row.nfe += filled[i].steps;
    row.step += filled[i].steps;
    row.region_step = row.open_region().steps;
    row.resident = false;
    stop_row_at_eos(&row);
    if (!row.done) open_regions(&row);
  }
}

Denoiser::RowState& Denoiser::row_numbered(int64_t number) {
  return *std::find_if(rows_.begin(), rows_.end(),
                       [number](const RowState& row) { return row.number == number; });
}

/// The published stop: after a block, when its last token is eos in every row of the group.
void Denoiser::stop_groups() {
  std::map<int64_t, bool> all_ended;
  const auto last_of_block = [](const RowState& row) {  // of the block that the step just closed
    return row.canvas.ids[row.canvas.regions[row.region - 1].positions.back()];
  };
  for (const RowState& row : rows_) {
    const StopRule& stop = row.canvas.stop;
    if (stop.kind != EarlyStop::kAllRowsBlock) continue;
    const bool ended = row.block_ended && row.region > 0 && last_of_block(row) == stop.eos;
    const auto [entry, first] = all_ended.try_emplace(stop.group, ended);
    if (!first) entry->second = entry->second && ended;
  }
  for (RowState& row : rows_)
    if (row.canvas.stop.kind == EarlyStop::kAllRowsBlock && all_ended.at(row.canvas.stop.group))
      row.done = true;
}

void Denoiser::collect_done() {
  for (RowState& row : rows_)
    if (row.done) finished_.push_back({row.number, std::move(row.canvas.ids), row.nfe});
  std::erase_if(rows_, [](const RowState& row) { return row.done; });
}

}  // namespace mmada
