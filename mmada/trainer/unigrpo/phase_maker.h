// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mmada/distributed/group.h"
#include "mmada/rewards/reward.h"
#include "mmada/trainer/advantages.h"
#include "mmada/trainer/train_step.h"
#include "mmada/trainer/unigrpo/phase.h"

namespace mmada {

struct PhaseOptions {
  std::vector<PromptStream> streams;
  int64_t num_generations = 8;  ///< G: responses of a prompt
  /// Responses of one denoising run; with it a response's last bits can change, with the number of processes
  /// none do.
  int64_t rows_together = 64;
  int64_t eos_tail = 0;  ///< RolloutOptions
  uint64_t seed = 0;
  AdvantageOptions advantages;
  std::string output_dir;
  int64_t saved_pictures =
      4;          ///< of each outer step, into completions/: one of each of the first prompts drawn
  Json settings;  ///< what else responses depend on: those spooled under others are made anew
};

/// Who answers.
struct PhasePolicy {
  Generator generator;
  std::string fingerprint;  ///< of its weights: responses of others are not taken for its own
  /// Where weights are in shards: takes part in what the other processes still generate.
  std::function<void()> keep_company = [] {};
};

/// Makes what an outer step learns from: answers, scores them and compares the answers of each prompt. The
/// processes take turns over runs of `rows_together` responses, so that their number changes nothing.
///
/// Under output_dir
///  - rollouts/step-K/run-C.json holds each run's responses and scores while the phase goes on: a phase
///    that is interrupted goes on with them;
///  - completions/step-K.jsonl is for eyes: prompt, response, reward and its parts, advantage; and so are the
///    pictures in step-K/, each of the name of its line (from 0).
class PhaseMaker {
 public:
  PhaseMaker(PhaseOptions options, RewardSet rewards, Group group);

  const PhaseOptions& options() const { return options_; }
  RewardSet& rewards() { return rewards_; }

  /// Nothing where `stop` said so; it is asked between two runs, in every process with the same answer.
  /// Throws RunEnded where a reward failed whose on_failure is "stop".
  std::optional<RolloutPhase> make(int64_t outer_step, const std::vector<PromptSources::Prompt>& prompts,
                                   const PhasePolicy& policy, SampleEncoder& encoder,
                                   const std::function<bool()>& stop);

 private:
  Json run(int64_t number, const std::vector<RolloutRequest>& requests, int64_t outer_step,
           const Generator& generator, SampleEncoder& encoder);
  Json find_or_run(int64_t number, const std::vector<RolloutRequest>& requests, int64_t outer_step,
                   const std::string& key, const Generator& generator, SampleEncoder& encoder);
  bool keeps_picture(const std::vector<RolloutRequest>& requests, int64_t index) const;
  std::vector<RolloutRequest> requests_of(const std::vector<PromptSources::Prompt>& prompts) const;
  void write_completions(int64_t outer_step, const std::vector<RolloutRequest>& requests,
                         const std::vector<Json>& scored, const RolloutPhase& phase) const;
  MetricValues measure(const std::vector<RolloutRequest>& requests, const std::vector<Json>& scored,
                       const RolloutPhase& phase, const Advantages& advantages) const;
  std::string folder(const std::string& kind, int64_t outer_step) const;

  PhaseOptions options_;
  RewardSet rewards_;
  Group group_;
};

}  // namespace mmada
