// SPDX-License-Identifier: MIT
#include "mmada/model/token_logprobs.h"

#include <ATen/ATen.h>

#include "mmada/ops/logprobs.h"

namespace mmada {

at::Tensor head_logprobs(const at::Tensor& hidden_ND, const at::Tensor& head_VD,
                         const std::vector<WindowTargets>& targets, at::Tensor* entropy_N) {
  const bool with_entropy = entropy_N != nullptr;
  std::vector<at::Tensor> logprobs, entropies;
  int64_t row = 0;
  for (const auto& [window, ids_N] : targets) {
    const int64_t rows = ids_N.size(0);
    const bool all = window.size() == head_VD.size(0);  // as it is: a view's gradient would be a copy
    const at::Tensor head_WD = all ? head_VD : head_VD.narrow(0, window.begin, window.size());
    const at::Tensor ids = (ids_N - window.begin).to(hidden_ND.device());
    const MaskedLogprobs found =
        masked_token_logprobs(hidden_ND.narrow(0, row, rows), head_WD, ids, with_entropy);
    logprobs.push_back(found.logprobs_N);
    if (with_entropy) entropies.push_back(found.entropy_N.detach());
    row += rows;
  }
  if (with_entropy) *entropy_N = at::cat(entropies);
  return logprobs.size() == 1 ? logprobs.front() : at::cat(logprobs);
}

TokenLogprobs token_logprobs(const Transformer& model) {
  return [model](const RowBatch& rows, const at::Tensor& positions_N,
                 const std::vector<WindowTargets>& targets) {
    const at::Tensor hidden_ND = model.hidden(rows, positions_N.to(model.options().device()));
    return head_logprobs(hidden_ND, model.head({0, model.config().vocab_size}), targets);
  };
}

}  // namespace mmada
