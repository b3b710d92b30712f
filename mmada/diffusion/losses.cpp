// SPDX-License-Identifier: MIT
#include "mmada/diffusion/losses.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "mmada/ops/logprobs.h"

namespace mmada {
namespace {

using Targets = std::vector<const WeightedTargets*>;

at::Tensor join(const Targets& targets, at::Tensor WeightedTargets::*field) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(targets.size());
  for (const WeightedTargets* part : targets) tensors.push_back(part->*field);
  return tensors.size() == 1 ? tensors.front() : at::cat(tensors);
}

void add_part(const WeightedTargets& targets, const at::Tensor& loss, Losses* losses) {
  const at::Tensor weighted = loss * targets.coefficient;
  losses->total = losses->total.defined() ? losses->total + weighted : weighted;
  const auto same = std::find_if(losses->parts.begin(), losses->parts.end(),
                                 [&](const LossPart& part) { return part.flow == targets.flow; });
  if (same == losses->parts.end())
    losses->parts.push_back({targets.flow, loss.detach(), targets.coefficient});
  else
    same->loss = same->loss + loss.detach();
}

/// The losses of consecutive targets that share a window; hidden_ND holds their positions in order.
void window_losses(const Transformer& model, const Targets& targets, const at::Tensor& hidden_ND,
                   Losses* losses) {
  const Window window = targets.front()->window;
  const at::Device device = hidden_ND.device();
  const at::Tensor ids_N = (join(targets, &WeightedTargets::targets_N) - window.begin).to(device);
  const at::Tensor logprobs_N = masked_token_logprobs(hidden_ND, model.head(window), ids_N).logprobs_N;
  const at::Tensor terms_N = -logprobs_N * join(targets, &WeightedTargets::weights_N).to(device);
  int64_t begin = 0;
  for (const WeightedTargets* part : targets) {
    const int64_t size = part->positions_N.size(0);
    add_part(*part, terms_N.narrow(0, begin, size).sum(), losses);
    begin += size;
  }
}

/// The group's non-empty targets, those of one window side by side.
Targets by_window(const RowGroup& group) {
  Targets targets;
  for (const WeightedTargets& part : group.targets)
    if (part.positions_N.size(0) > 0) targets.push_back(&part);
  std::stable_sort(targets.begin(), targets.end(), [](const WeightedTargets* a, const WeightedTargets* b) {
    return std::pair(a->window.begin, a->window.end) < std::pair(b->window.begin, b->window.end);
  });
  return targets;
}

}  // namespace

Losses weighted_losses(const Transformer& model, const std::vector<RowGroup>& groups) {
  Losses losses;
  for (const RowGroup& group : groups) {
    const Targets targets = by_window(group);
    if (targets.empty()) continue;
    const at::Tensor positions_N = join(targets, &WeightedTargets::positions_N);
    const at::Tensor hidden_ND = model.hidden(group.rows, positions_N.to(model.options().device()));
    int64_t row = 0;
    for (auto first = targets.begin(); first != targets.end();) {
      const auto last = std::find_if(first, targets.end(), [&](const WeightedTargets* part) {
        return !(part->window == (*first)->window);
      });
      const Targets shared(first, last);
      int64_t rows = 0;
      for (const WeightedTargets* part : shared) rows += part->positions_N.size(0);
      window_losses(model, shared, hidden_ND.narrow(0, row, rows), &losses);
      row += rows;
      first = last;
    }
  }
  return losses;
}

}  // namespace mmada
