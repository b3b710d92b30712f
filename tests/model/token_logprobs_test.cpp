// SPDX-License-Identifier: MIT
#include "mmada/model/token_logprobs.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

using namespace mmada;

TEST_CASE(
    "log p and entropy of a head are those of each target's window, whole logits in fp64 as the measure") {
  at::manual_seed(4);
  const at::Tensor hidden = at::randn({7, 16}, at::kDouble), head = at::randn({40, 16}, at::kDouble);
  const std::vector<WindowTargets> targets{{{0, 40}, at::tensor({0, 39, 17}, at::kLong)},
                                           {{24, 40}, at::tensor({24, 30, 39, 25}, at::kLong)}};
  at::Tensor entropy;
  const at::Tensor found = head_logprobs(hidden, head, targets, &entropy);
  int64_t row = 0;
  for (const auto& [window, ids] : targets)
    for (int64_t i = 0; i < ids.size(0); ++i, ++row) {
      const at::Tensor logits = at::mv(head.narrow(0, window.begin, window.size()), hidden[row]);
      const at::Tensor p = at::softmax(logits, 0), log_p = at::log_softmax(logits, 0);
      CHECK(found[row].item<double>() ==
            Approx(log_p[ids[i].item<int64_t>() - window.begin].item<double>()).epsilon(1e-12));
      CHECK(entropy[row].item<double>() == Approx(-(p * log_p).sum().item<double>()).epsilon(1e-12));
    }
  CHECK(at::equal(head_logprobs(hidden, head, targets), found));
}
