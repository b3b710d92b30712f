// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "mmada/trainer/policy_loss.h"
#include "mmada/trainer/transformer_step.h"
#include "mmada/trainer/unigrpo/phase_maker.h"
#include "mmada/trainer/unigrpo/policy_rows.h"
#include "mmada/trainer/unigrpo/reference_weights.h"
#include "mmada/trainer/unigrpo/reward_evaluation.h"

namespace mmada {

/// What the KL term holds the policy near to.
enum class KlAgainst {
  kReference,  ///< ReferenceWeights
  kOld         ///< the policy of the outer step's beginning
};

struct UniGrpoOptions {
  PhaseOptions phase;
  NoiseLevels levels;  ///< levels.updates is mu, the updates of an outer step
  ResponseNoiseOptions noise;
  PolicyLossOptions loss;
  PolicyWeighting weighting;
  KlAgainst kl_against = KlAgainst::kReference;
  bool offload_reference = false;
  int64_t sync_reference_every = 0;  ///< outer steps; 0: the reference stays what it was
  double sync_mix = 1.0;             ///< how far it then moves towards the policy
  /// Answers come from weights in shards (ShardedRollout), for networks that no process can hold whole.
  bool sharded_rollouts = false;
  int64_t tokens_per_pass = 8192;  ///< of noisy rows that go through the network together
  RewardEvaluationOptions evaluation;

  bool needs_reference() const { return loss.beta != 0 && kl_against == KlAgainst::kReference; }
};

/// UniGRPO (the paper's section on reinforcement learning; SPEC 7.1) for text, understanding and drawing.
///
/// A step of the trainer is one update. Every mu of them an outer step begins: prompts are answered by the
/// policy as it is (PhaseMaker), and log p of the answers under it and under the reference is computed for
/// the noisy copies of all mu updates, which the updates then share. Diffu-GRPO and TraceRL's ways of masking
/// are other options of the same (SPEC 7.2, 7.3).
class UniGrpoStep : public TransformerStep {
 public:
  UniGrpoStep(Network network, SampleEncoder encoder, RewardSet rewards, UniGrpoOptions options);

  bool prepare(int64_t step, const std::function<bool()>& stop) override;
  StepReport compute(int64_t step) override;
  Json state() const override;
  void restore(const Json& state) override;
  std::vector<CheckpointTensor> tensors() const override;
  Evaluation evaluate(int64_t step) override;

  /// What the updates learn from now.
  const std::optional<RolloutPhase>& phase() const { return phase_; }

 private:
  std::string fingerprint() const;
  template <class Work>
  auto with_policy(bool generates, const Work& work);
  int64_t updates() const { return options_.levels.updates; }
  Span own_responses() const;
  std::vector<PolicyRow> rows_of(Span responses, int64_t update) const;
  std::vector<at::Tensor> logprobs_of_updates(double* entropy = nullptr);
  void sync_reference(int64_t outer_step);
  PolicyTokens tokens_of(const PolicyPass& pass, int64_t update, const at::Tensor& logprobs_N) const;
  StepReport report(int64_t update, std::vector<double> sums, int64_t tokens) const;

  SampleEncoder encoder_;
  UniGrpoOptions options_;
  PromptSources prompts_;
  PhaseMaker maker_;
  std::optional<ReferenceWeights> reference_;
  std::optional<RolloutPhase> phase_;
};

}  // namespace mmada
