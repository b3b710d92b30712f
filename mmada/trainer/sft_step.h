// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mmada/data/sample.h"
#include "mmada/model/checkpoint.h"
#include "mmada/model/sharded_transformer.h"
#include "mmada/trainer/condition_gate.h"
#include "mmada/trainer/flow_rows.h"
#include "mmada/trainer/train_step.h"
#include "mmada/trainer/validation.h"

namespace mmada {

/// Supervised training of the transformer on any mixture of flows (SPEC 6.1): every stage of the published
/// model, and the pocket model, is a configuration of this one class.
///
/// The rows of a step do not depend on the number of processes: every process draws its own share of the
/// step's one batch, and losses are divided by what all count together.
class SftStep : public TrainStep {
 public:
  struct Options {
    FlowPlan flows;
    RowSettings rows;
    int64_t micro_batches = 1;     ///< gradient_accumulation_steps
    at::TensorOptions weights;     ///< type and device of the weights that are saved and evaluated
    std::string tokenizer_source;  ///< whose tokenizer files are saved with the model
    GateOptions gate;
    ValidationOptions validation;
  };
  /// `model` has all but the weights, which are `transformer`'s.
  SftStep(Model model, std::unique_ptr<ShardedTransformer> transformer, SampleEncoder encoder,
          Options options);

  std::vector<TrainedTensor> parameters() const override { return trained_pieces(*transformer_); }
  const Group& group() const override { return transformer_->shards().group(); }
  StepReport compute(int64_t step) override;
  Json state() const override;
  void restore(const Json& state) override;
  std::function<void()> stage_model(const std::string& directory) override;
  Evaluation evaluate(int64_t step) override;
  bool validates(int64_t step) const override { return options_.validation.due(step); }
  Evaluation validate(int64_t step, const std::string& directory) override;

  const ShardedTransformer& transformer() const { return *transformer_; }

 private:
  using MicroBatch = std::vector<FlowBatch>;

  std::vector<Sample> panels(int64_t step) const;
  Json lora_base() const;
  void check_lora_base(Fields saved) const;
  SampleSource& source_of(const FlowConfig& flow);
  std::vector<Span> shares_of(const FlowConfig& flow) const;
  /// This process's rows of each micro-batch.
  std::vector<MicroBatch> draw(int64_t step);
  void weigh(const std::vector<FlowConfig>& flows, std::vector<MicroBatch>* batches) const;
  std::vector<std::vector<RowGroup>> passes(const std::vector<MicroBatch>& batches) const;
  StepReport report(const std::vector<FlowConfig>& flows, std::vector<double> losses, int64_t tokens,
                    double flops) const;

  Model model_;
  std::unique_ptr<ShardedTransformer> transformer_;
  SampleEncoder encoder_;
  Options options_;
  double data_seconds_ = 0;                                       ///< of the last draw()
  std::map<std::string, std::unique_ptr<SampleSource>> sources_;  ///< by FlowConfig::source_key
};

}  // namespace mmada
