// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mmada/data/sample.h"
#include "mmada/model/checkpoint.h"
#include "mmada/trainer/chunk_workers.h"
#include "mmada/trainer/condition_gate.h"
#include "mmada/trainer/flow_rows.h"
#include "mmada/trainer/train_step.h"

namespace mmada {

/// Supervised training of the transformer on any mixture of flows (SPEC 6.1): every stage of the published
/// model, and the pocket model, is a configuration of this one class.
class SftStep : public TrainStep {
 public:
  struct Options {
    FlowPlan flows;
    RowSettings rows;
    int64_t micro_batches = 1;     ///< gradient_accumulation_steps
    std::string tokenizer_source;  ///< whose tokenizer files are saved with the model
    GateOptions gate;
  };
  SftStep(Model model, SampleEncoder encoder, std::shared_ptr<ChunkWorkers> workers, Options options);

  std::vector<NamedParameter> parameters() const override { return model_.transformer.parameters(); }
  StepReport compute(int64_t step) override;
  Json state() const override;
  void restore(const Json& state) override;
  void save_model(const std::string& directory) const override;
  Evaluation evaluate(int64_t step) override;

  const Model& model() const { return model_; }

 private:
  SampleSource& source_of(const FlowConfig& flow);
  /// What one thread makes of its share of a micro-batch.
  struct Chunk {
    Losses losses;
    std::vector<at::Tensor> gradients;  ///< one per parameter
    int64_t tokens = 0;
  };
  std::vector<FlowBatch> draw(int64_t step);
  void compute_chunk(const std::vector<FlowBatch>& flows, int64_t slice, int64_t slices, Chunk* chunk) const;
  void add_gradients(const std::vector<at::Tensor>& gradients) const;

  Model model_;
  SampleEncoder encoder_;
  std::shared_ptr<ChunkWorkers> workers_;
  Options options_;
  std::map<std::string, std::unique_ptr<SampleSource>> sources_;  ///< by FlowConfig::source_key
};

}  // namespace mmada
