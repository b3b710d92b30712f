// SPDX-License-Identifier: MIT
#include "mmada/trainer/step_interval.h"

#include <algorithm>

namespace mmada {

void StepInterval::add(const MetricValues& values, const StepReport& report) {
  for (const auto& [name, value] : values) add(name, value);
  ++steps_;
  tokens_ += report.tokens;
  padded_tokens_ += report.padded_tokens;
  rows_ += report.rows;
  flops_ += report.flops;
  data_seconds_ += report.data_seconds;
}

void StepInterval::add(const std::string& name, double value) {
  const auto same = std::ranges::find(sums_, name, &Sum::name);
  if (same == sums_.end())
    sums_.push_back({name, value, 1});
  else
    same->total += value, ++same->count;
}

double StepInterval::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

double StepInterval::tokens_per_second() const { return static_cast<double>(tokens_) / seconds(); }

MetricValues StepInterval::take(double peak_flops, int64_t processes) {
  MetricValues values;
  for (const Sum& sum : sums_) values.emplace_back(sum.name, sum.total / static_cast<double>(sum.count));
  const double time = seconds(), of_all = time * static_cast<double>(processes);
  values.emplace_back("samples/sec/gpu", static_cast<double>(rows_) / of_all);
  values.emplace_back("throughput(tps)", static_cast<double>(tokens_) / of_all);
  if (flops_ > 0) values.emplace_back("tflops", flops_ / of_all / 1e12);
  if (peak_flops > 0 && flops_ > 0) values.emplace_back("mfu(%)", 100 * flops_ / of_all / peak_flops);
  if (steps_ > 0) {
    values.emplace_back("batch_time", time / static_cast<double>(steps_));
    values.emplace_back("data_time", data_seconds_ / static_cast<double>(steps_));
  }
  if (padded_tokens_ > 0)
    values.emplace_back("padding_saved",
                        1.0 - static_cast<double>(tokens_) / static_cast<double>(padded_tokens_));
  *this = StepInterval();
  return values;
}

}  // namespace mmada
