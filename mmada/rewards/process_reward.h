// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "mmada/rewards/reward.h"
#include "mmada/rewards/worker_process.h"

namespace mmada {

struct ProcessRewardOptions {
  std::vector<std::string> command;                              ///< a program and its arguments
  std::vector<std::string> environment = {};                     ///< "NAME=value" beside this process's own
  std::chrono::milliseconds startup = std::chrono::seconds(60);  ///< until its greeting
  std::chrono::milliseconds timeout = std::chrono::seconds(30);  ///< for one batch
  int64_t workers = 1;       ///< programs side by side, each with a part of a batch
  uint64_t most_memory = 0;  ///< bytes of address space of each; 0: no limit of its own
};

/// A reward that another program computes (WorkerProcess), in JSON lines:
///   worker: {"protocol": 1}                      once, when it is ready;  or {"error": "what went wrong"}
///   here:   {"id": 7, "samples": [{"task", "prompt", "response", "answer", "metadata", "image",
///                                "shown"}, ...]}
///   worker: {"id": 7, "scores": [0.5, null, ...]}    or    {"id": 7, "error": "what went wrong"}
/// "image" is what was drawn and "shown" what was asked about, each a PNG in base64 or null. null as a score
/// abstains.
///
/// Whatever else comes, or nothing in time, is a RewardFailure; the worker is killed and the next batch meets
/// a new one.
class ProcessReward : public Reward {
 public:
  explicit ProcessReward(ProcessRewardOptions options);
  Scores score(std::span<const RewardSample> samples) override;

 private:
  void start();
  Scores ask(std::span<const RewardSample> samples);

  ProcessRewardOptions options_;
  std::unique_ptr<WorkerProcess> worker_;
  int64_t id_ = 0;  ///< of the worker's last batch, its first being 1
};

/// One ProcessReward, or several side by side; the first that fails fails the batch.
std::unique_ptr<Reward> make_worker_reward(const ProcessRewardOptions& options);

/// Reads "startup_seconds", "timeout_seconds", "workers" and "memory_limit_gb" (0: none).
ProcessRewardOptions parse_worker_options(Fields& fields);

/// {"type": "process", "command": ["python3", "reward.py"], "startup_seconds": 60, "timeout_seconds": 30,
///  "workers": 1}
std::unique_ptr<Reward> make_process_reward(Fields fields);

}  // namespace mmada
