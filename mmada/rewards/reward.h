// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/formats/image_file.h"

namespace mmada {

/// A response and what is known of its prompt.
struct RewardSample {
  std::string task;  ///< "text", "mmu" or "t2i"
  std::string prompt;
  std::string response;        ///< text; empty where a picture was drawn without any
  std::optional<Image> image;  ///< what was drawn
  std::string answer;          ///< the prompt's reference answer; empty where it has none
  Json metadata = Json::object();
  std::optional<Image> shown = {};  ///< the prompt's picture, where it was asked about one
  std::string stream = {};          ///< of prompts, in a run: its name
};

/// One number per sample, in order; none where the reward has no opinion.
using Scores = std::vector<std::optional<double>>;

/// A reward that could not judge: it crashed, hung, or answered something that is no scores.
class RewardFailure : public Error {
 public:
  using Error::Error;
};

/// Judges responses (SPEC 7.1). Scores are finite, and of at most 1e30 in size.
class Reward {
 public:
  virtual ~Reward() = default;
  virtual Scores score(std::span<const RewardSample> samples) = 0;
};

/// The built-in rewards, by the `type` of their configuration:
///   {"type": "math", "correct": 2.0, "wrong": 0.0}     final answers equal as numbers or fractions, with
///                                                      "verify" also by computer algebra (math_reward.h);
///                                                      abstains without a reference answer
///   {"type": "choice", "correct": 2.0}                 the same letter A to Z
///   {"type": "exact" | "contains", "correct": 1.0, "case": false}
///                                                      the answer is, or holds, the reference; spaces at its
///                                                      ends do not count, nor does case unless asked for
///   {"type": "format", "value": 0.5}                   one <think>...</think>, well formed, and an answer
///   after it
///   {"type": "length", "target": 200, "limit": 400, "value": 0.1}
///                                                      full up to the target's characters, falling linearly
///                                                      to 0 at the limit
///   {"type": "clip", "model": DIR, ...}                how well text and picture fit (clip_reward.h)
///   {"type": "image_reward", "model": DIR, ...}        whether people would like the picture
///                                                      (image_reward_score.h)
///   {"type": "http", "url": "http://...", ...}         a reward server (http_reward.h)
///   {"type": "plugin", "library": "reward.so", ...}    a shared library (plugin_reward.h)
///   {"type": "process", ...}                           another program (process_reward.h)
///   {"type": "shape_scene", ...}                       what of its scene a picture shows
///   (shape_scene_reward.h)
std::unique_ptr<Reward> make_reward(Fields fields);

/// The score of each part and of all together.
struct RewardTotals {
  struct Part {
    std::string name;
    Scores scores;  ///< without weight
  };
  std::vector<Part> parts;
  Scores total;  ///< sum of weight x score over the parts that have one; none where all abstained
  std::vector<std::string> failures;  ///< one line for each reward that failed, with its name
};

/// Failures of several batches for a log: each message once, and how often it came.
std::vector<std::string> failure_notices(const std::vector<std::string>& failures);

/// What follows when a reward fails.
enum class OnFailure {
  kAbstain,  ///< it has no opinion on these samples
  kZero,     ///< it gives each of them 0
  kStop      ///< RewardSet::score throws RewardFailure
};

/// Named rewards with weights, each for the tasks and the streams of prompts that it names (all where it
/// names none):
///   [{"name": "correct", "weight": 1.0, "tasks": ["text"], "streams": ["gsm8k"],
///     "reward": {"type": "math"}, "on_failure": "abstain", "give_up_after": 10}, ...]
/// "on_failure" is "abstain" (as here), "zero" or "stop". Whatever it says, a reward that fails so many
/// batches in a row as "give_up_after" says (0: any number) stops the run: it would go on without learning
/// anything.
class RewardSet {
 public:
  /// Reads a configuration's list; names are unique. Rewards may name these streams alone, any where there
  /// are none.
  RewardSet(const Json& list, const std::string& source, const std::string& path,
            const std::vector<std::string>& streams = {});

  /// Throws RewardFailure, which names the reward, where its policy is to stop.
  RewardTotals score(std::span<const RewardSample> samples);

 private:
  struct Member {
    std::string name;
    double weight = 1.0;
    std::vector<std::string> tasks, streams;
    OnFailure on_failure = OnFailure::kAbstain;
    int64_t give_up_after = 0;
    int64_t failures_in_a_row = 0;
    std::unique_ptr<Reward> reward;
  };
  Scores judge(Member& member, std::span<const RewardSample> samples, std::vector<std::string>* failures);
  Scores score_member(Member& member, std::span<const RewardSample> samples,
                      std::vector<std::string>* failures);

  std::vector<Member> members_;
};

}  // namespace mmada
