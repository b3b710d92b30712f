// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/phase_maker.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/core/sha256.h"
#include "mmada/distributed/gather.h"
#include "mmada/formats/atomic_file.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

constexpr JsonLimits kRunLimits = {.max_bytes = size_t{1} << 30, .max_values = size_t{1} << 26};

struct Moments {
  double mean = 0, deviation = 0;
  int64_t count = 0;
};
Moments moments(const std::vector<double>& values) {
  Moments result{.count = std::ssize(values)};
  if (values.empty()) return result;
  for (const double value : values) result.mean += value / static_cast<double>(values.size());
  for (const double value : values)
    result.deviation += (value - result.mean) * (value - result.mean) / static_cast<double>(values.size());
  result.deviation = std::sqrt(result.deviation);
  return result;
}

Json score_json(const std::optional<double>& score) { return score ? Json(*score) : Json(nullptr); }

}  // namespace

PhaseMaker::PhaseMaker(PhaseOptions options, RewardSet rewards, Group group)
    : options_(std::move(options)), rewards_(std::move(rewards)), group_(std::move(group)) {}

std::string PhaseMaker::folder(const std::string& kind, int64_t outer_step) const {
  char step[32];
  std::snprintf(step, sizeof step, "step-%06lld", static_cast<long long>(outer_step));
  return cat(options_.output_dir, "/", kind, "/", step);
}

std::vector<RolloutRequest> PhaseMaker::requests_of(const std::vector<PromptSources::Prompt>& prompts) const {
  std::vector<RolloutRequest> requests;
  for (const auto& prompt : prompts)
    for (int64_t i = 0; i < options_.num_generations; ++i)
      requests.push_back({.stream = &options_.streams[prompt.stream],
                          .sample = &prompt.sample,
                          .number = static_cast<uint32_t>(requests.size())});
  return requests;
}

/// Whether it is the first picture of one of the first prompts that are drawn.
bool PhaseMaker::keeps_picture(const std::vector<RolloutRequest>& requests, int64_t index) const {
  const auto draws = [](const RolloutRequest& of) { return of.stream->task == PromptTask::kT2i; };
  const auto drawn = std::count_if(requests.begin(), requests.begin() + index, draws);
  return draws(requests[index]) && index % options_.num_generations == 0 &&
         drawn < options_.saved_pictures * options_.num_generations;
}

/// Responses and scores of one run.
Json PhaseMaker::run(int64_t number, const std::vector<RolloutRequest>& requests, int64_t outer_step,
                     const Generator& generator, SampleEncoder& encoder) {
  const int64_t begin = number * options_.rows_together;
  const auto own = std::span(requests).subspan(
      begin, std::min<int64_t>(options_.rows_together, std::ssize(requests) - begin));
  const uint64_t seed = stream_key(options_.seed, cat("unigrpo/rollout/", outer_step));
  const Rollout rollout(generator, encoder, {.eos_tail = options_.eos_tail, .seed = seed});
  const std::vector<Response> responses = rollout.run(own);
  const RewardTotals totals = rewards_.score(reward_samples(own, responses));
  Json list = Json::array();
  for (size_t i = 0; i < responses.size(); ++i) {
    Json parts = Json::object();
    for (const RewardTotals::Part& part : totals.parts) parts[part.name] = score_json(part.scores[i]);
    list.push_back({{"response", response_json(responses[i])},
                    {"rewards", std::move(parts)},
                    {"reward", score_json(totals.total[i])}});
    const int64_t index = begin + static_cast<int64_t>(i);
    if (!responses[i].image || !keeps_picture(requests, index)) continue;
    const std::string pictures = folder("completions", outer_step);
    fs::create_directories(pictures);
    write_image(cat(pictures, "/", index, ".png"), *responses[i].image);
  }
  return {{"responses", std::move(list)}, {"failures", totals.failures}};
}

/// The same, from its file where that was made by these weights and settings.
Json PhaseMaker::find_or_run(int64_t number, const std::vector<RolloutRequest>& requests, int64_t outer_step,
                             const std::string& key, const Generator& generator, SampleEncoder& encoder) {
  const std::string place = folder("rollouts", outer_step), path = cat(place, "/run-", number, ".json");
  if (fs::exists(path)) {
    try {
      Json found = read_json_file(path, kRunLimits);
      if (found.is_object() && found.value("key", "") == key) return found;
    } catch (const Error&) {  // damaged: made anew
    }
  }
  Json made = run(number, requests, outer_step, generator, encoder);
  made["key"] = key;
  fs::create_directories(place);
  write_file(path, made.dump(-1, ' ', false, Json::error_handler_t::replace));
  return made;
}

std::optional<RolloutPhase> PhaseMaker::make(int64_t outer_step,
                                             const std::vector<PromptSources::Prompt>& prompts,
                                             const PhasePolicy& policy, SampleEncoder& encoder,
                                             const std::function<bool()>& stop) {
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<RolloutRequest> requests = requests_of(prompts);
  const std::string key = cat(outer_step, " ", policy.fingerprint, " ", sha256_hex(options_.settings.dump()));
  const int64_t runs = (std::ssize(requests) + options_.rows_together - 1) / options_.rows_together;
  std::vector<Json> scored;
  std::vector<std::string> failures;
  for (int64_t first = 0; first < runs; first += group_.size()) {
    if (stop()) return std::nullopt;
    const int64_t own = first + group_.rank();
    Json made = {{"responses", Json::array()}, {"failures", Json::array()}};
    group_.agree("rollouts", [&] {
      std::exception_ptr failed;
      try {
        if (own < runs) made = find_or_run(own, requests, outer_step, key, policy.generator, encoder);
      } catch (const RewardFailure& failure) {  // all processes end alike, below
        made["stop"] = failure.what();
      } catch (...) {
        failed = std::current_exception();
      }
      policy.keep_company();  // whatever happened: the others may still need it
      if (failed) std::rethrow_exception(failed);
    });
    for (const std::string& text :
         gather_bytes(group_, made.dump(-1, ' ', false, Json::error_handler_t::replace))) {
      Json of_rank = parse_json(text, "rollouts", kRunLimits);
      if (of_rank.contains("stop")) throw RunEnded(of_rank["stop"].get<std::string>());
      for (Json& response : of_rank["responses"]) scored.push_back(std::move(response));
      for (const Json& failure : of_rank["failures"]) failures.push_back(failure.get<std::string>());
    }
  }
  RolloutPhase phase{.outer_step = outer_step};
  std::vector<std::optional<double>> rewards;
  for (const Json& one : scored) {
    phase.responses.push_back(parse_response(one.at("response"), "rollouts", "response"));
    const Json& reward = one.at("reward");
    rewards.push_back(reward.is_null() ? std::nullopt : std::optional(reward.get<double>()));
  }
  const Advantages advantages = group_advantages(rewards, options_.num_generations, options_.advantages);
  phase.advantages = advantages.values;
  phase.metrics = measure(requests, scored, phase, advantages);
  phase.metrics.emplace_back("reward_failures", static_cast<double>(failures.size()));
  phase.notices = failure_notices(failures);
  phase.metrics.emplace_back("rollout_seconds",
                             std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  group_.agree("writing completions", [&] {
    if (group_.rank() == 0) write_completions(outer_step, requests, scored, phase);
  });
  return phase;
}

MetricValues PhaseMaker::measure(const std::vector<RolloutRequest>& requests, const std::vector<Json>& scored,
                                 const RolloutPhase& phase, const Advantages& advantages) const {
  const auto groups = static_cast<double>(std::max<int64_t>(advantages.groups, 1));
  MetricValues values = {
      {"reward", advantages.reward_mean},
      {"reward_std", advantages.reward_std},
      {"frac_reward_zero_std", static_cast<double>(advantages.groups_without_spread) / groups},
      {"frac_groups_unscored", static_cast<double>(advantages.groups_too_small) / groups}};
  const auto of_scores = [&](const std::string& name, const auto& score_of) {
    std::vector<double> known;
    for (size_t i = 0; i < scored.size(); ++i)
      if (const Json& score = score_of(i); score.is_number()) known.push_back(score.get<double>());
    if (known.empty()) return;
    const Moments found = moments(known);
    values.emplace_back(name + "/mean", found.mean);
    values.emplace_back(name + "/std", found.deviation);
  };
  static const Json kNone = nullptr;
  for (const auto& [part, first] : scored.front().at("rewards").items())
    of_scores("rewards/" + part, [&](size_t i) -> const Json& { return scored[i].at("rewards").at(part); });
  if (options_.streams.size() > 1)
    for (const PromptStream& stream : options_.streams)
      of_scores("reward/" + stream.name, [&](size_t i) -> const Json& {
        return requests[i].stream == &stream ? scored[i].at("reward") : kNone;
      });
  int64_t shortest = INT64_MAX, longest = 0, tokens = 0, texts = 0, clipped = 0;
  for (const Response& response : phase.responses) {
    if (response.picture) continue;
    const int64_t length = std::ssize(response.tokens);
    shortest = std::min(shortest, length), longest = std::max(longest, length), tokens += length, ++texts;
    clipped += response.ended ? 0 : 1;
  }
  if (texts > 0) {
    values.emplace_back("completions/mean_length", static_cast<double>(tokens) / static_cast<double>(texts));
    values.emplace_back("completions/min_length", static_cast<double>(shortest));
    values.emplace_back("completions/max_length", static_cast<double>(longest));
    values.emplace_back("completions/clipped_ratio",
                        static_cast<double>(clipped) / static_cast<double>(texts));
  }
  return values;
}

/// The phase is over: of earlier ones nothing is needed any more.
void PhaseMaker::write_completions(int64_t outer_step, const std::vector<RolloutRequest>& requests,
                                   const std::vector<Json>& scored, const RolloutPhase& phase) const {
  std::string lines;
  for (size_t i = 0; i < scored.size(); ++i) {
    const Sample& prompt = *requests[i].sample;
    const Json line = {{"outer_step", outer_step},
                       {"stream", requests[i].stream->name},
                       {"prompt", prompt.text},
                       {"response", phase.responses[i].text},
                       {"answer", prompt.answer},
                       {"metadata", prompt.metadata},
                       {"rewards", scored[i].at("rewards")},
                       {"reward", scored[i].at("reward")},
                       {"advantage", score_json(phase.advantages[i])}};
    lines += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  fs::create_directories(options_.output_dir + "/completions");
  write_file(folder("completions", outer_step) + ".jsonl", lines);
  const std::string own = folder("rollouts", outer_step);
  for (const auto& entry : fs::directory_iterator(options_.output_dir + "/rollouts"))
    if (entry.path() != own) fs::remove_all(entry.path());
}

}  // namespace mmada
