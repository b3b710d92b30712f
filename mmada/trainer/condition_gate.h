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

/// "gate/FLOW/true", "gate/FLOW/shuffled" and "gate/FLOW/gap" (nats per token) of a t2i flow (captions
/// shuffled) or an mmu flow (pictures shuffled; answer tokens without their padding). The samples come from
/// the flow's source under a seed of their own, the same ones every time.
MetricValues condition_gate(const Transformer& model, const RowSettings& settings, const FlowConfig& flow,
                            SampleEncoder& encoder, const GateOptions& options);

}  // namespace mmada
