// SPDX-License-Identifier: MIT
#include "mmada/generation/commit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "mmada/ops/remask.h"

namespace mmada {
namespace {

constexpr double kSmallest = 1e-20;  // the clamp of SPEC 5.2 under every logarithm

/// The published schedules as torch evaluates them on a 0-dim fp32 tensor.
at::Tensor schedule_fp32(const Schedule& schedule, double r) {
  const at::Tensor t = at::scalar_tensor(r, at::kFloat);
  const std::string& name = schedule.name();
  if (name == "cosine") return at::cos(t * std::numbers::pi * 0.5);
  if (name == "linear") return at::clamp(1.0 - t, 1e-6, 1.0);
  if (name == "sigmoid") {
    const at::Tensor low = at::sigmoid(at::scalar_tensor(-3.0, at::kFloat));
    const at::Tensor high = at::sigmoid(at::scalar_tensor(3.0, at::kFloat));
    return at::clamp((high - at::sigmoid(t * 6.0 - 3.0)) / (high - low), 1e-6, 1.0);
  }
  return at::clamp(1.0 - at::pow(t, std::stod(name.substr(3))), 1e-6, 1.0);
}

at::Tensor doubles(std::span<const double> values) {
  return at::tensor(at::ArrayRef<double>(values.data(), values.size()), at::kDouble);
}

/// log(max(p, 1e-20)) + temperature * Gumbel, every intermediate rounded to the score dtype.
std::vector<double> noisy_log_confidence(const CommitContext& context, double temperature,
                                         c10::ScalarType dtype) {
  at::Tensor scores = at::log(at::clamp_min(doubles(context.confidence).to(dtype), kSmallest));
  if (temperature > 0) {
    std::vector<double> uniform;
    for (const int64_t position : context.positions)
      uniform.push_back(position_uniform(context.noise, "remask", position));
    const at::Tensor u = at::clamp_min(doubles(uniform).to(dtype), kSmallest);
    const at::Tensor gumbel = -at::log(at::clamp_min(-at::log(u), kSmallest));
    scores = scores + temperature * gumbel;
  }
  scores = scores.to(at::kDouble).contiguous();
  const double* data = scores.const_data_ptr<double>();
  return {data, data + scores.numel()};
}

std::vector<int64_t> everything(const CommitContext& context) {
  return largest_scores(context.confidence, static_cast<int64_t>(context.confidence.size()));
}

int64_t quota(int64_t unknown, int64_t step, int64_t steps) {
  return unknown / steps + (step < unknown % steps ? 1 : 0);
}

}  // namespace

std::vector<int64_t> FixedCountRule::commit(const CommitContext& context) const {
  return largest_scores(context.confidence, quota(context.unknown_at_start, context.step, context.steps));
}

std::optional<RemaskSchedule> FixedCountRule::schedule(const OpenedRegion& region) const {
  RemaskSchedule schedule{.rule = "count", .counts = {}, .temperatures = {}};
  for (int64_t step = 0; step < region.steps; ++step)
    schedule.counts.push_back(static_cast<int32_t>(quota(region.unknown_at_start, step, region.steps)));
  return schedule;
}

std::vector<int64_t> ThresholdRule::commit(const CommitContext& context) const {
  const auto sure = std::count_if(context.confidence.begin(), context.confidence.end(),
                                  [&](double confidence) { return confidence >= threshold_; });
  return largest_scores(context.confidence, std::max<int64_t>(sure, 1));
}

std::optional<RemaskSchedule> ThresholdRule::schedule(const OpenedRegion&) const {
  return RemaskSchedule{.rule = "threshold", .threshold = threshold_, .counts = {}, .temperatures = {}};
}

double MaskGitRule::temperature(int64_t step, int64_t steps) const {
  const auto remaining = [&](int64_t s) {
    return 1.0 - static_cast<double>(s + 1) / static_cast<double>(steps);
  };
  if (!options_.compounding_temperature) return options_.temperature * remaining(step);
  double product = options_.temperature;
  for (int64_t s = 0; s <= step; ++s) product *= remaining(s);
  return product;
}

int64_t MaskGitRule::scheduled(int64_t step, int64_t steps, int64_t base) const {
  const double r = static_cast<double>(step + 1) / static_cast<double>(steps);
  if (options_.single_precision_schedule)
    return at::floor(static_cast<double>(base) * schedule_fp32(options_.schedule, r)).item().toLong();
  // A product a rounding below a whole number means that number: floor(1024 cos(pi/3)) is 512.
  return static_cast<int64_t>(std::floor(static_cast<double>(base) * options_.schedule(r) + 1e-9));
}

std::vector<int64_t> MaskGitRule::commit(const CommitContext& context) const {
  if (context.step + 1 >= context.steps) return everything(context);
  const int64_t base = options_.schedule_counts_all_slots ? context.slots : context.unknown_at_start;
  const auto unknown = static_cast<int64_t>(context.positions.size());
  const int64_t count =
      std::max<int64_t>(1, std::min(unknown - 1, scheduled(context.step, context.steps, base)));
  const auto scores =
      noisy_log_confidence(context, temperature(context.step, context.steps), options_.score_dtype);
  return survivors_of_cut(scores, count, options_.ties_survive_cut);
}

std::optional<RemaskSchedule> MaskGitRule::schedule(const OpenedRegion& region) const {
  const bool fp32_scores = options_.score_dtype == at::kDouble || options_.score_dtype == at::kFloat;
  if (options_.ties_survive_cut || !fp32_scores) return {};
  RemaskSchedule schedule{.rule = "maskgit", .counts = {}, .temperatures = {}};
  const int64_t base = options_.schedule_counts_all_slots ? region.slots : region.unknown_at_start;
  for (int64_t step = 0; step < region.steps; ++step) {
    schedule.counts.push_back(static_cast<int32_t>(scheduled(step, region.steps, base)));
    if (options_.temperature > 0)
      schedule.temperatures.push_back(static_cast<float>(temperature(step, region.steps)));
  }
  return schedule;
}

}  // namespace mmada
