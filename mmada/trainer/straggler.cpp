// SPDX-License-Identifier: MIT
#include "mmada/trainer/straggler.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace mmada {
namespace {

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

/// The steps of the process that is in the middle among all but one.
std::vector<double> middle_of_others(const std::vector<std::vector<double>>& seconds, size_t rank) {
  std::vector<std::vector<double>> others = seconds;
  others.erase(others.begin() + static_cast<int64_t>(rank));
  const auto middle = others.begin() + std::ssize(others) / 2;
  std::nth_element(others.begin(), middle, others.end(),
                   [](const auto& a, const auto& b) { return sum(a) < sum(b); });
  return *middle;
}

double middle_step(const std::deque<std::vector<double>>& steps, size_t phase) {
  std::vector<double> values;
  for (const auto& step : steps) values.push_back(step[phase]);
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class Value>
void remember(std::deque<Value>* values, Value value, size_t most) {
  values->push_back(std::move(value));
  if (values->size() > most) values->pop_front();
}

}  // namespace

StragglerWatch::StragglerWatch(std::vector<std::string> phases, const Options& options)
    : phases_(std::move(phases)), options_(options) {}

std::vector<Straggler> StragglerWatch::observe(const std::vector<std::vector<double>>& seconds) {
  std::vector<Straggler> found;
  if (seconds.size() < 2) return found;
  ranks_.resize(seconds.size());
  for (size_t number = 0; number < seconds.size(); ++number) {
    const std::vector<double> others = middle_of_others(seconds, number);
    const double own = sum(seconds[number]), expected = sum(others);
    Rank& rank = ranks_[number];
    remember(&rank.slow, own > options_.factor * expected && own - expected > options_.least_seconds,
             options_.window);
    remember(&rank.own, seconds[number], options_.window);
    remember(&rank.others, others, options_.window);
    if (auto straggler = judge(static_cast<int>(number), rank)) found.push_back(*std::move(straggler));
  }
  return found;
}

std::optional<Straggler> StragglerWatch::judge(int number, Rank& rank) const {
  const auto slow = static_cast<size_t>(std::count(rank.slow.begin(), rank.slow.end(), true));
  if (slow <= options_.window - options_.slow_steps) rank.reported = false;
  if (slow < options_.slow_steps || std::exchange(rank.reported, true)) return std::nullopt;
  Straggler straggler{.rank = number, .phase = "", .seconds = 0, .expected = 0};
  double most = -1;
  for (size_t phase = 0; phase < phases_.size(); ++phase) {
    const double own = middle_step(rank.own, phase), others = middle_step(rank.others, phase);
    straggler.seconds += own;
    straggler.expected += others;
    if (own - others > most) most = own - others, straggler.phase = phases_[phase];
  }
  return straggler;
}

}  // namespace mmada
