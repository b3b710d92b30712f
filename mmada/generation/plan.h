// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "mmada/core/types.h"
#include "mmada/model/transformer.h"

namespace mmada {

/// What one canvas needs of the model in a step: the row, its guided twin (empty ids: none), and where logits
/// are read.
struct ForwardRequest {
  TokenIds ids;
  Span valid;
  TokenIds paired_ids;
  Span paired_valid;
  AttentionMode attention = AttentionMode::kHard;
  Window window;
  std::vector<int64_t> positions;  ///< ascending; the twin's are the same
};

/// A stretch of the forward's output that goes through the head together.
struct HeadSlice {
  Window window;
  Span read;                     ///< of ForwardPlan::read_N
  std::vector<size_t> requests;  ///< in order; each takes its positions, then its twin's
};

/// One forward pass: the tokens that go in, with their key spans, and the positions whose hidden states come
/// out.
struct ForwardPlan {
  RowBatch rows;
  at::Tensor read_N;  ///< int64, flat b*T+t
  std::vector<HeadSlice> heads;
};

/// Packs the requests into as few forwards as their attention modes allow.
///
/// Under `hard`, rows of any length share a forward, padded on the right with `pad` outside their valid
/// spans. In the other modes padding would be seen, so only rows of equal length share one.
std::vector<ForwardPlan> make_plans(const std::vector<ForwardRequest>& requests, int64_t pad);

}  // namespace mmada
