// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "mmada/core/types.h"
#include "mmada/model/transformer.h"

namespace mmada {

/// Targets of consecutive positions whose softmax runs over the same ids.
struct WindowTargets {
  Window window;
  at::Tensor ids_N;  ///< int64 vocabulary ids inside the window
};

/// log p [N] (fp32, fp64 where the weights are) of targets at flat row-major positions b*T+t (int64 [N]) of
/// rows. They come in the order of `targets`, each of which takes the next of the positions.
using TokenLogprobs = std::function<at::Tensor(const RowBatch& rows, const at::Tensor& positions_N,
                                               const std::vector<WindowTargets>& targets)>;
/// That of a network whose weights are in one place.
TokenLogprobs token_logprobs(const Transformer& model);

/// The same from final hidden states [N, D] and the head's weights [V, D]. `entropy_N`, where it is asked
/// for, receives that of each position's softmax in nats, without gradient.
at::Tensor head_logprobs(const at::Tensor& hidden_ND, const at::Tensor& head_VD,
                         const std::vector<WindowTargets>& targets, at::Tensor* entropy_N = nullptr);

}  // namespace mmada
