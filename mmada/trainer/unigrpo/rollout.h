// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mmada/core/types.h"
#include "mmada/generation/generator.h"
#include "mmada/rewards/reward.h"
#include "mmada/trainer/sample_encoder.h"
#include "mmada/trainer/unigrpo/prompt_stream.h"

namespace mmada {

/// What a policy answered to a prompt, as the ids that it is trained on.
struct Response {
  TokenIds ids;  ///< the row through which it was made, hidden padding left out; MASK where nothing was said
  std::vector<int64_t> tokens = {};        ///< places in `ids` of what the policy chose, ascending
  std::vector<int32_t> commit_steps = {};  ///< of each token: the step of the rollout that chose it
  bool ended = false;                      ///< with an eos; a picture never is
  bool picture = false;                    ///< chosen from the codes' window; else from the text's
  std::string text = {};                   ///< without special tokens; empty of a picture
  std::optional<Image> image = {};         ///< what was drawn
};

struct RolloutOptions {
  /// text, mmu: eos beyond the first that count as tokens of the response; what was chosen behind them is
  /// MASK in its row.
  int64_t eos_tail = 0;
  uint64_t seed = 0;
};

/// A prompt, and which noise its response is made with: no two of a seed are equal.
struct RolloutRequest {
  const PromptStream* stream = nullptr;
  const Sample* sample = nullptr;
  uint32_t number = 0;
};

/// Answers all requests in one denoising run. A response is a pure function of weights, its request and those
/// beside it (which can move the last bits of a matrix product).
class Rollout {
 public:
  /// Both have to outlive it.
  Rollout(const Generator& generator, SampleEncoder& encoder, RolloutOptions options)
      : generator_(generator), encoder_(encoder), options_(options) {}

  std::vector<Response> run(std::span<const RolloutRequest> requests) const;

 private:
  Request lay_out(const RolloutRequest& request) const;
  Request text_request(const RolloutRequest& request) const;
  void end_at_eos(Response* response) const;

  const Generator& generator_;
  SampleEncoder& encoder_;
  RolloutOptions options_;
};

/// What rewards see of them.
std::vector<RewardSample> reward_samples(std::span<const RolloutRequest> requests,
                                         std::span<const Response> responses);

}  // namespace mmada
