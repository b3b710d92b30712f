// SPDX-License-Identifier: MIT
#include "mmada/diffusion/losses.h"

#include <ATen/ATen.h>

#include <algorithm>

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

std::vector<WindowTargets> join_windows(const Targets& targets) {
  std::vector<WindowTargets> joined;
  for (auto first = targets.begin(); first != targets.end();) {
    const auto last = std::find_if(first, targets.end(), [&](const WeightedTargets* part) {
      return !(part->window == (*first)->window);
    });
    joined.push_back({(*first)->window, join(Targets(first, last), &WeightedTargets::targets_N)});
    first = last;
  }
  return joined;
}

}  // namespace

Losses weighted_losses(const TokenLogprobs& logprobs, const std::vector<RowGroup>& groups) {
  Losses losses;
  for (const RowGroup& group : groups) {
    const Targets targets = by_window(group);
    if (targets.empty()) continue;
    const at::Tensor logprobs_N =
        logprobs(group.rows, join(targets, &WeightedTargets::positions_N), join_windows(targets));
    const at::Tensor weights_N = join(targets, &WeightedTargets::weights_N).to(logprobs_N.device());
    const at::Tensor terms_N = -logprobs_N * weights_N;
    int64_t begin = 0;
    for (const WeightedTargets* part : targets) {
      const int64_t size = part->positions_N.size(0);
      add_part(*part, terms_N.narrow(0, begin, size).sum(), &losses);
      begin += size;
    }
  }
  return losses;
}

Losses weighted_losses(const Transformer& model, const std::vector<RowGroup>& groups) {
  return weighted_losses(token_logprobs(model), groups);
}

}  // namespace mmada
