// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "mmada/data/sample.h"
#include "mmada/trainer/condition_gate.h"
#include "mmada/trainer/flow_batches.h"
#include "mmada/trainer/transformer_step.h"
#include "mmada/trainer/validation.h"

namespace mmada {

/// Supervised training of the transformer on any mixture of flows (SPEC 6.1): every stage of the published
/// model, and the pocket model, is a configuration of this one class.
///
/// The rows of a step do not depend on the number of processes: every process draws its own share of the
/// step's one batch, and losses are divided by what all count together.
class SftStep : public TransformerStep {
 public:
  struct Options {
    BatchPlan batches;
    GateOptions gate;
    ValidationOptions validation;
  };
  SftStep(Network network, SampleEncoder encoder, Options options);

  StepReport compute(int64_t step) override;
  Json state() const override;
  void restore(const Json& state) override;
  Evaluation evaluate(int64_t step) override;
  bool validates(int64_t step) const override { return validation_.due(step); }
  Evaluation validate(int64_t step, const std::string& directory) override;

 private:
  using MicroBatch = FlowBatches::MicroBatch;

  const BatchPlan& plan() const { return batches_.plan(); }
  std::vector<Sample> panels(int64_t step) const;
  std::vector<double> weigh(const std::vector<FlowConfig>& flows, std::vector<MicroBatch>* batches) const;
  std::vector<std::vector<RowGroup>> passes(const std::vector<MicroBatch>& batches) const;
  void add_masking_rate(const std::vector<FlowConfig>& flows, const std::vector<double>& targets,
                        StepReport* report) const;
  StepReport report(const std::vector<FlowConfig>& flows, std::vector<double> losses, int64_t tokens,
                    double flops) const;

  GateOptions gate_;
  ValidationOptions validation_;
  double data_seconds_ = 0;  ///< waited for the last step's rows
  FlowBatches batches_;
};

}  // namespace mmada
