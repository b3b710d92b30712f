// SPDX-License-Identifier: MIT
#include "mmada/diffusion/losses.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch.hpp>

#include "tests/support/tiny_model.h"

namespace {

using namespace mmada;

const Transformer& model() {
  static const Transformer shared = test::tiny_transformer(MMADA_TEST_DATA "/golden/tiny_mmada");
  return shared;
}

RowBatch batch() {
  at::Tensor ids = at::arange(2 * 12).remainder(300).reshape({2, 12});
  return {.ids_BT = ids, .valid = {{0, 12}, {3, 12}}, .mode = AttentionMode::kHard};
}

WeightedTargets targets(std::vector<int64_t> positions, std::vector<int64_t> ids, std::vector<float> weights,
                        Window window, const std::string& flow, double coefficient = 1.0) {
  return {at::tensor(positions, at::kLong),
          at::tensor(ids, at::kLong),
          at::tensor(weights, at::kFloat),
          window,
          flow,
          coefficient};
}

/// -weight * log softmax over the window, in fp64 from all hidden states.
double expected_loss(const WeightedTargets& part) {
  const at::NoGradGuard no_grad;
  const at::Tensor hidden =
      model().hidden(batch()).flatten(0, 1).index_select(0, part.positions_N).to(at::kDouble);
  const at::Tensor logits = hidden.matmul(model().head(part.window).to(at::kDouble).t());
  const at::Tensor picked =
      at::log_softmax(logits, 1).gather(1, (part.targets_N - part.window.begin).unsqueeze(1)).squeeze(1);
  return -(picked * part.weights_N.to(at::kDouble)).sum().item<double>();
}

}  // namespace

TEST_CASE("parts of different windows are computed in one forward and add up with their coefficients") {
  const at::NoGradGuard no_grad;
  const WeightedTargets text = targets({1, 14}, {7, 500}, {0.5f, 2.0f}, {0, 512}, "mmu", 0.4);
  const WeightedTargets image =
      targets({5, 20, 21}, {384, 400, 511}, {0.1f, 0.2f, 0.3f}, {384, 512}, "t2i", 2.0);
  const WeightedTargets more = targets({3}, {9}, {1.5f}, {0, 512}, "lm", 1.0);
  const Losses losses = weighted_losses(model(), {{batch(), {text, image, more}}});
  std::map<std::string, double> found;
  for (const LossPart& part : losses.parts) found[part.flow] = part.loss.item<double>();
  CHECK(found.at("mmu") == Approx(expected_loss(text)).epsilon(1e-5));
  CHECK(found.at("t2i") == Approx(expected_loss(image)).epsilon(1e-5));
  CHECK(found.at("lm") == Approx(expected_loss(more)).epsilon(1e-5));
  CHECK(losses.total.item<double>() ==
        Approx(0.4 * found.at("mmu") + 2.0 * found.at("t2i") + found.at("lm")).epsilon(1e-6));
}

TEST_CASE("a flow spread over groups is reported as one sum") {
  const at::NoGradGuard no_grad;
  const WeightedTargets first = targets({1}, {7}, {0.5f}, {0, 512}, "lm"),
                        second = targets({2}, {8}, {0.25f}, {0, 512}, "lm");
  const Losses losses = weighted_losses(model(), {{batch(), {first}}, {batch(), {second}}});
  REQUIRE(losses.parts.size() == 1);
  CHECK(losses.parts[0].loss.item<double>() ==
        Approx(expected_loss(first) + expected_loss(second)).epsilon(1e-5));
}

TEST_CASE("flows without targets give no loss and no gradient") {
  const WeightedTargets none = targets({}, {}, {}, {0, 512}, "mmu");
  CHECK_FALSE(weighted_losses(model(), {{batch(), {none}}}).total.defined());
  CHECK_FALSE(weighted_losses(model(), {}).total.defined());
  const at::NoGradGuard no_grad;
  const WeightedTargets some = targets({1}, {7}, {0.5f}, {0, 512}, "lm");
  CHECK(weighted_losses(model(), {{batch(), {none, some}}}).parts.size() == 1);
}
