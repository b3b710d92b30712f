// SPDX-License-Identifier: MIT
#pragma once

#include "mmada/model/transformer.h"
#include "mmada/trainer/flow_rows.h"
#include "mmada/trainer/metrics.h"

namespace mmada {

/// Does the model look at its condition? With everything to be predicted masked, the cross-entropy under the
/// true condition is compared with that under another sample's. A model that ignores its condition shows no
/// gap, however low its training loss.
struct GateOptions {
  int64_t rows = 64;  ///< fresh samples per flow
  int64_t rows_per_forward = 16;
};

/// Mean cross-entropy (nats per token) of a t2i flow's image tokens or of an mmu flow's answer tokens (their
/// padding left out) with all of them masked.
struct ConditionLoss {
  double matched = 0.0;   ///< under each sample's own caption (t2i) or picture (mmu)
  double shuffled = 0.0;  ///< under the next sample's
};
ConditionLoss condition_loss(const Transformer& model, const RowSettings& settings, const FlowConfig& flow,
                             const std::vector<EncodedSample>& samples, int64_t rows_per_forward);

/// "gate/FLOW/true", "gate/FLOW/shuffled" and "gate/FLOW/gap" on samples of the flow's source under a seed of
/// their own, the same ones every time.
MetricValues condition_gate(const Transformer& model, const RowSettings& settings, const FlowConfig& flow,
                            SampleEncoder& encoder, const GateOptions& options);

}  // namespace mmada
