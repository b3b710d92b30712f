// SPDX-License-Identifier: MIT
#include "mmada/rewards/reward.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "mmada/core/check.h"
#include "mmada/rewards/clip_reward.h"
#include "mmada/rewards/http_reward.h"
#include "mmada/rewards/image_reward_score.h"
#include "mmada/rewards/math_reward.h"
#include "mmada/rewards/plugin_reward.h"
#include "mmada/rewards/process_reward.h"
#include "mmada/rewards/shape_scene_reward.h"
#include "mmada/rewards/text_rewards.h"

namespace mmada {
namespace {

const std::map<std::string, std::unique_ptr<Reward> (*)(Fields)>& makers() {
  static const std::map<std::string, std::unique_ptr<Reward> (*)(Fields)> table = {
      {"choice", make_choice_reward},      {"clip", make_clip_reward},
      {"contains", make_contains_reward},  {"exact", make_exact_reward},
      {"format", make_format_reward},      {"http", make_http_reward},
      {"image_reward", make_image_reward}, {"length", make_length_reward},
      {"math", make_math_reward},          {"plugin", make_plugin_reward},
      {"process", make_process_reward},    {"shape_scene", make_shape_scene_reward}};
  return table;
}

}  // namespace

std::unique_ptr<Reward> make_reward(Fields fields) {
  std::vector<std::string> names;
  for (const auto& [name, maker] : makers()) names.push_back(name);
  const std::string type = fields.choice("type", names);
  return makers().at(type)(std::move(fields));
}

RewardSet::RewardSet(const Json& list, const std::string& source, const std::string& path,
                     const std::vector<std::string>& streams) {
  MMADA_CHECK(list.is_array() && !list.empty(), source, ": field `", path, "`: found ", found_text(list),
              ", expected a list of rewards");
  for (size_t i = 0; i < list.size(); ++i) {
    Fields fields(list[i], source, cat(path, "[", i, "]"));
    Member member;
    member.name = fields.string("name");
    member.weight = fields.number("weight", -1e6, 1e6, 1.0);
    member.tasks = fields.strings("tasks", std::vector<std::string>{});
    for (const std::string& task : member.tasks)
      if (task != "text" && task != "mmu" && task != "t2i") fields.fail("tasks", task, "text, mmu or t2i");
    member.streams = fields.strings("streams", std::vector<std::string>{});
    for (const std::string& stream : member.streams)
      if (!streams.empty() && std::ranges::count(streams, stream) == 0)
        fields.fail("streams", stream, "names of streams of prompts in this configuration");
    const std::string policy = fields.choice("on_failure", {"abstain", "zero", "stop"}, "abstain");
    member.on_failure = policy == "stop"   ? OnFailure::kStop
                        : policy == "zero" ? OnFailure::kZero
                                           : OnFailure::kAbstain;
    member.give_up_after = fields.integer("give_up_after", 0, 1 << 30, 10);
    if (std::ranges::any_of(members_, [&](const Member& other) { return other.name == member.name; }))
      fields.fail("name", member.name, "names that differ");
    member.reward = make_reward(fields.object("reward"));
    fields.finish();
    members_.push_back(std::move(member));
  }
}

/// Sums of squares of weighted scores have to be numbers yet.
constexpr double kLargestScore = 1e30;

/// Finite scores, as many as samples; or what the member's policy makes of its failure.
Scores RewardSet::judge(Member& member, std::span<const RewardSample> samples,
                        std::vector<std::string>* failures) {
  try {
    const Scores scores = member.reward->score(samples);
    if (scores.size() != samples.size())
      throw RewardFailure(cat("found ", scores.size(), " scores, expected ", samples.size()));
    for (const auto& score : scores)
      if (score && !(std::abs(*score) <= kLargestScore))
        throw RewardFailure(cat("found a score of ", *score, ", expected a finite one of at most ",
                                kLargestScore, " in size"));
    member.failures_in_a_row = 0;
    return scores;
  } catch (const RewardFailure& failure) {
    const std::string message = cat("reward ", member.name, ": ", failure.what());
    if (member.on_failure == OnFailure::kStop) throw RewardFailure(message);
    if (++member.failures_in_a_row == member.give_up_after)
      throw RewardFailure(cat(message, "; found ", member.give_up_after,
                              " failures in a row, expected fewer (give_up_after)"));
    failures->push_back(message);
    const bool zero = member.on_failure == OnFailure::kZero;
    return Scores(samples.size(), zero ? std::optional(0.0) : std::nullopt);
  }
}

/// None where the task or the stream is not the member's.
Scores RewardSet::score_member(Member& member, std::span<const RewardSample> samples,
                               std::vector<std::string>* failures) {
  const auto named = [](const std::vector<std::string>& names, const std::string& name) {
    return names.empty() || std::ranges::count(names, name) > 0;
  };
  std::vector<RewardSample> own;
  std::vector<size_t> places;
  for (size_t i = 0; i < samples.size(); ++i)
    if (named(member.tasks, samples[i].task) && named(member.streams, samples[i].stream))
      own.push_back(samples[i]), places.push_back(i);
  Scores scores(samples.size());
  if (own.empty()) return scores;
  const Scores found = judge(member, own, failures);
  for (size_t i = 0; i < own.size(); ++i) scores[places[i]] = found[i];
  return scores;
}

std::vector<std::string> failure_notices(const std::vector<std::string>& failures) {
  std::vector<std::string> notices;
  for (const std::string& message : std::set(failures.begin(), failures.end())) {
    const auto times = std::ranges::count(failures, message);
    notices.push_back(times == 1 ? message : cat(message, " (", times, " times)"));
  }
  return notices;
}

RewardTotals RewardSet::score(std::span<const RewardSample> samples) {
  RewardTotals totals{.parts = {}, .total = Scores(samples.size()), .failures = {}};
  for (Member& member : members_) {
    const Scores scores = score_member(member, samples, &totals.failures);
    for (size_t i = 0; i < samples.size(); ++i)
      if (scores[i]) totals.total[i] = totals.total[i].value_or(0.0) + member.weight * *scores[i];
    totals.parts.push_back({member.name, scores});
  }
  return totals;
}

}  // namespace mmada
