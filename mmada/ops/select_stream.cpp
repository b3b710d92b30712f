// SPDX-License-Identifier: MIT
#include "mmada/ops/select_stream.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/ops/linear.h"

namespace mmada {
namespace {

// Columns of a chunk: constant, so that what a row gets never depends on the rows beside it.
constexpr int64_t kChunkColumns = 2048;
// Whole rows of logits at a time, for top-k and top-p.
constexpr int64_t kWholeRows = 64;
constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

const char* name_of(Confidence confidence) {
  switch (confidence) {
    case Confidence::kProbability:
      return "probability";
    case Confidence::kMargin:
      return "margin";
    case Confidence::kNegEntropy:
      return "neg_entropy";
    case Confidence::kRandom:
      return "random";
  }
  throw Error("confidence out of range");
}

at::Tensor integers(const std::vector<int32_t>& values) { return at::tensor(values, at::kInt); }

/// One bit for every id up to the window's end.
at::Tensor bits_of(const std::vector<int64_t>& ids, Window window) {
  std::vector<uint32_t> words(static_cast<size_t>(window.end) / 32 + 1);
  for (const int64_t id : ids) words[id / 32] |= uint32_t{1} << id % 32;
  return integers({words.begin(), words.end()});
}

std::vector<int64_t> inside(Window window, std::span<const int64_t> ids) {
  std::vector<int64_t> result;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(result),
               [&](int64_t id) { return window.contains(id); });
  return result;
}

void stream_chunks(const at::Tensor& hidden_ND, const at::Tensor& head_WD, Window window,
                   std::span<SelectStream> streams) {
  for (int64_t column = 0; column < window.size(); column += kChunkColumns) {
    const int64_t columns = std::min(kChunkColumns, window.size() - column);
    const at::Tensor logits_NC = product_transposed(hidden_ND, head_WD.narrow(0, column, columns));
    int64_t begin = 0;
    for (SelectStream& stream : streams) {
      if (!stream.filters())
        stream.add(logits_NC.narrow(0, begin, stream.hidden_rows()), window.begin + column);
      begin += stream.hidden_rows();
    }
  }
}

}  // namespace

at::Tensor mix_logits(const GuidanceMix& guidance, const at::Tensor& conditional_NW,
                      const at::Tensor& unconditional_NW) {
  const double scale = guidance.scale;
  if (guidance.difference_form) return unconditional_NW + (scale + 1.0) * (conditional_NW - unconditional_NW);
  return (1.0 + scale) * conditional_NW - scale * unconditional_NW;
}

at::Tensor noise_rows(const SelectParams& params) {
  std::vector<int32_t> rows;
  for (const int64_t position : params.positions) rows.push_back(static_cast<int32_t>(position));
  rows.insert(rows.end(), params.positions.size(), static_cast<int32_t>(params.noise.step));
  rows.insert(rows.end(), params.positions.size(), static_cast<int32_t>(params.noise.stream));
  return integers(rows).view({3, -1});
}

NoiseKeys noise_keys(uint64_t seed, at::Device device) {
  const auto number = [&] { return at::zeros({1}, at::TensorOptions().dtype(at::kLong).device(device)); };
  NoiseKeys keys{.token = number(), .random_confidence = number(), .remask = number()};
  keys.set(seed);
  return keys;
}

void NoiseKeys::set(uint64_t seed) {
  token.fill_(static_cast<int64_t>(stream_key(seed, "token")));
  random_confidence.fill_(static_cast<int64_t>(stream_key(seed, "random_confidence")));
  remask.fill_(static_cast<int64_t>(stream_key(seed, "remask")));
}

at::Tensor keep_best(const at::Tensor& logits_NW, int64_t top_k, double top_p, double temperature) {
  const int64_t width = logits_NW.size(1), most = top_k > 0 ? std::min(top_k, width) : width;
  const auto [sorted, order] = at::sort(logits_NW, /*stable=*/true, /*dim=*/1, /*descending=*/true);
  const at::Tensor best = sorted.narrow(1, 0, most).to(at::kDouble);
  const at::Tensor weights = at::exp((best - best.narrow(1, 0, 1)) / (temperature > 0 ? temperature : 1.0));
  at::Tensor kept = at::ones_like(weights, at::kBool);
  if (top_p < 1.0) kept = (weights.cumsum(1) - weights).lt(top_p * weights.sum(1, /*keepdim=*/true));
  kept.narrow(1, 0, 1).fill_(true);
  const at::Tensor stays = at::zeros_like(logits_NW, at::kBool).scatter_(1, order.narrow(1, 0, most), kept);
  return logits_NW.masked_fill(stays.bitwise_not(), kMinusInfinity);
}

SelectStream::SelectStream(const SelectParams& params, std::optional<GuidanceMix> guidance, int64_t rows,
                           at::Tensor noise_3N, NoiseKeys keys, at::Device device)
    : params_(params), guidance_(guidance), rows_(rows), keys_(std::move(keys)) {
  if (params.temperature > 0 || params.confidence == Confidence::kRandom) noise_3N_ = noise_3N.to(device);
  const Window window = params.window;
  std::vector<int64_t> ids = inside(window, params.banned);
  if (!ids.empty()) {
    banned_bits_ = bits_of(ids, window).to(device);
    banned_ = at::tensor(ids, at::kLong).sub_(window.begin).to(device);
  }
  const std::vector<int64_t> never = inside(window, params.never_confident);
  if (!never.empty()) {
    never_ = integers({never.begin(), never.end()}).to(device);
    ids.insert(ids.end(), never.begin(), never.end());
    uncounted_bits_ = bits_of(ids, window).to(device);
  }
  params_.positions = params_.banned = params_.never_confident = {};
}

at::Tensor SelectStream::states_of(const at::Tensor& choice_NC, const at::Tensor& counted_NC,
                                   const std::optional<at::Tensor>& uncond_NC,
                                   const std::optional<at::Tensor>& noise_3N, int64_t first_id) const {
  SelectChunk chunk{.first_id = first_id,
                    .temperature = params_.temperature,
                    .guidance = uncond_NC ? guidance_->scale : 0.0,
                    .difference_form = !guidance_ || guidance_->difference_form};
  const at::Tensor states =
      select_statistics(choice_NC, uncond_NC, banned_bits_, noise_3N, keys_.token, chunk);
  if (!uncounted_bits_ && choice_NC.is_same(counted_NC)) return states;
  chunk.temperature = 0;
  const at::Tensor counted =
      select_statistics(counted_NC, uncond_NC, uncounted_bits_ ? uncounted_bits_ : banned_bits_, std::nullopt,
                        std::nullopt, chunk);
  // the first four of a state's words describe the softmax, the rest the choice (kernels::SelectState)
  return at::cat({counted.narrow(2, 0, 4), states.narrow(2, 4, 4)}, 2);
}

void SelectStream::add(const at::Tensor& logits_NC, int64_t first_id) {
  const at::Tensor own_NC = logits_NC.narrow(0, 0, rows_);
  std::optional<at::Tensor> uncond_NC;
  if (guidance_) uncond_NC = logits_NC.narrow(0, rows_, rows_);
  states_.push_back(states_of(own_NC, own_NC, uncond_NC, noise_3N_, first_id));
}

void SelectStream::add_whole(const at::Tensor& hidden_ND, const at::Tensor& head_WD) {
  std::vector<at::Tensor> states;
  for (int64_t begin = 0; begin < rows_; begin += kWholeRows) {
    const int64_t count = std::min(kWholeRows, rows_ - begin);
    const auto logits = [&](int64_t from) {
      return product_transposed(hidden_ND.narrow(0, from, count), head_WD).to(at::kFloat);
    };
    at::Tensor logits_NW = logits(begin);
    if (guidance_) logits_NW = mix_logits(*guidance_, logits_NW, logits(rows_ + begin));
    if (banned_) logits_NW.index_fill_(1, *banned_, kMinusInfinity);
    const at::Tensor choice_NW = keep_best(logits_NW, params_.top_k, params_.top_p, params_.temperature);
    states.push_back(
        states_of(choice_NW, logits_NW, {}, noise_3N_->narrow(1, begin, count), params_.window.begin));
  }
  states_.push_back(at::cat(states, 0));
}

SelectAnswers SelectStream::answers() {
  SelectAnswers answers =
      select_finish(at::cat(states_, 1), noise_3N_, name_of(params_.confidence), keys_.random_confidence);
  states_.clear();
  if (never_)
    answers.confidence_N = answers.confidence_N.masked_fill(at::isin(answers.ids_N, *never_), kMinusInfinity);
  return answers;
}

void stream_head(const at::Tensor& hidden_ND, const at::Tensor& head_WD, Window window,
                 std::span<SelectStream> streams) {
  const bool chunked =
      std::any_of(streams.begin(), streams.end(), [](const SelectStream& s) { return !s.filters(); });
  if (chunked) stream_chunks(hidden_ND, head_WD, window, streams);
  int64_t begin = 0;
  for (SelectStream& stream : streams) {
    if (stream.filters()) stream.add_whole(hidden_ND.narrow(0, begin, stream.hidden_rows()), head_WD);
    begin += stream.hidden_rows();
  }
}

}  // namespace mmada
