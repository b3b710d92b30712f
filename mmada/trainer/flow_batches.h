// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mmada/data/sample.h"
#include "mmada/distributed/group.h"
#include "mmada/trainer/drawn_ahead.h"
#include "mmada/trainer/flow_rows.h"
#include "mmada/trainer/sample_encoder.h"

namespace mmada {

/// What the rows of every step are made of.
struct BatchPlan {
  FlowPlan flows;
  RowSettings rows;
  int64_t micro_batches = 1;  ///< gradient_accumulation_steps
  int64_t steps = INT64_MAX;  ///< of the run: nothing is drawn ahead beyond them
};

/// This process's rows of each step, one batch a flow in each micro-batch, without the targets' weights.
///
/// Rows are read, encoded and noised beside the training (DrawnAhead): those of a step are a function of its
/// number and of the sources' positions, and state() is the position behind the rows that were taken.
class FlowBatches {
 public:
  using MicroBatch = std::vector<FlowBatch>;  ///< in the order of the step's flows

  /// Opens every source, so that a mistake in one shows before the first step.
  FlowBatches(BatchPlan plan, SampleEncoder encoder, const Group& group);

  /// The rows of a step, each micro-batch's; they refer to plan().
  std::vector<MicroBatch> take(int64_t step);
  const BatchPlan& plan() const { return plan_; }
  /// Once nothing is drawn, for encoders are not to be shared.
  SampleEncoder& encoder();

  /// Positions of the sources, by FlowConfig::source_key.
  Json state() const;
  /// Reads what state() gave; what was drawn ahead is forgotten.
  void restore(Fields& positions);

 private:
  SampleSource& source_of(const FlowConfig& flow);
  std::vector<Span> shares_of(const FlowConfig& flow) const;
  Json positions() const;
  std::vector<MicroBatch> draw(int64_t step);

  BatchPlan plan_;
  SampleEncoder encoder_;
  int64_t rank_ = 0, processes_ = 1;
  std::map<std::string, std::unique_ptr<SampleSource>> sources_;  ///< by FlowConfig::source_key
  Json taken_;  ///< positions behind the rows that were taken
  DrawnAhead<std::vector<MicroBatch>> ahead_;
};

}  // namespace mmada
