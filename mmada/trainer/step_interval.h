// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "mmada/trainer/train_step.h"

namespace mmada {

/// Sums metrics over the steps since the last line, so that a line holds means.
class StepInterval {
 public:
  void add(const MetricValues& values, const StepReport& report);
  void add(const std::string& name, double value);
  /// Runs work whose time does not count towards the rates.
  template <class Work>
  void aside(Work&& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    begin_ += std::chrono::steady_clock::now() - begin;
  }
  double tokens_per_second() const;
  /// The means, and the rates of one among `processes`; starts the next interval. `peak_flops` is a device's
  /// per second; 0: unknown.
  MetricValues take(double peak_flops, int64_t processes);

 private:
  struct Sum {
    std::string name;
    double total = 0.0;
    int64_t count = 0;
  };
  double seconds() const;

  std::vector<Sum> sums_;
  int64_t steps_ = 0, tokens_ = 0, padded_tokens_ = 0, rows_ = 0;
  double data_seconds_ = 0, flops_ = 0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace mmada
