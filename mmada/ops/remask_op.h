// SPDX-License-Identifier: MIT
// Shape suffixes: B rows, T tokens of a row, R slots of the region that is filled, S steps.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace mmada {

/// A step's proposals and the rule that commits them (SPEC 5.1, 5.2; kernels/remask/remask.h).
struct RemaskStep {
  std::string_view rule;     ///< "count", "threshold", "factor" or "maskgit"
  at::Tensor begins_B;       ///< int32: first token of each row's region
  at::Tensor proposals_BR;   ///< int32
  at::Tensor confidence_BR;  ///< fp32
  int64_t steps = 0;         ///< S
  int64_t mask_id = 0;
  double threshold = 0.0;                    ///< threshold, factor
  std::optional<at::Tensor> counts_BS;       ///< int32: count, maskgit
  std::optional<at::Tensor> temperatures_S;  ///< fp32: maskgit, of the noise
  std::optional<at::Tensor> streams_B;       ///< int32: maskgit with noise
  std::optional<at::Tensor> noise_key;  ///< int64, one number: maskgit with noise, stream_key(seed, "remask")
  std::optional<at::Tensor> active_B;   ///< uint8: rows with 0 are left alone
};

/// What a step changes, in place.
struct RemaskState {
  at::Tensor tokens_BT;                       ///< int32
  at::Tensor steps_B;                         ///< int32 in [0, S), grows by one
  at::Tensor done_B;                          ///< uint8: no candidate is left, or it was the last step
  std::optional<at::Tensor> commit_steps_BT;  ///< int32: the step that committed each token
};

/// Writes the chosen proposals over MASK. Nothing in it waits for the device, so that a step can be captured
/// in a CUDA graph. The op is mmada::remask_.
void remask_op(RemaskState& state, const RemaskStep& step);

}  // namespace mmada
