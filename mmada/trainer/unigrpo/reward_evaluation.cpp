// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/reward_evaluation.h"

#include <algorithm>

#include "mmada/core/check.h"

namespace mmada {
namespace {

/// Means by name, in the order in which names come.
class Means {
 public:
  void add(const std::string& name, const std::optional<double>& value) {
    if (!value) return;
    const auto known = std::ranges::find(sums_, name, &Sum::name);
    Sum& sum = known == sums_.end() ? sums_.emplace_back(Sum{.name = name}) : *known;
    sum.total += *value, ++sum.count;
  }
  void append_to(MetricValues* values) const {
    for (const Sum& sum : sums_) values->emplace_back(sum.name, sum.total / static_cast<double>(sum.count));
  }

 private:
  struct Sum {
    std::string name;
    double total = 0;
    int64_t count = 0;
  };
  std::vector<Sum> sums_;
};

}  // namespace

Evaluation evaluate_rewards(const Generator& generator, SampleEncoder& encoder, RewardSet& rewards,
                            const RewardEvaluationOptions& options) {
  Evaluation found;
  if (options.streams.empty()) return found;
  PromptSources sources(options.streams, options.seed, "evaluation.prompts");
  const auto prompts = sources.next();
  std::vector<RolloutRequest> requests;
  for (const auto& prompt : prompts)
    requests.push_back({.stream = &options.streams[prompt.stream],
                        .sample = &prompt.sample,
                        .number = static_cast<uint32_t>(requests.size())});
  const Rollout rollout(generator, encoder, {.seed = options.seed});
  Means means;
  std::vector<std::string> failures;
  for (size_t begin = 0; begin < requests.size(); begin += static_cast<size_t>(options.rows_together)) {
    const size_t count = std::min(static_cast<size_t>(options.rows_together), requests.size() - begin);
    const auto own = std::span(requests).subspan(begin, count);
    const std::vector<Response> responses = rollout.run(own);
    const RewardTotals totals = rewards.score(reward_samples(own, responses));
    failures.insert(failures.end(), totals.failures.begin(), totals.failures.end());
    for (size_t i = 0; i < count; ++i) {
      const std::string name = "eval/" + own[i].stream->name;
      means.add(name + "/reward", totals.total[i]);
      for (const RewardTotals::Part& part : totals.parts)
        means.add(name + "/rewards/" + part.name, part.scores[i]);
    }
  }
  means.append_to(&found.values);
  found.values.emplace_back("eval/reward_failures", static_cast<double>(failures.size()));
  found.notices = failure_notices(failures);
  return found;
}

}  // namespace mmada
