// SPDX-License-Identifier: MIT
#include "mmada/ops/attention.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "mmada/core/check.h"
#include "tests/support/tensors.h"

namespace mmada {
namespace {

// Scores, softmax and mixing of each row with an explicit [P, T] bias, in fp64.
at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& bias_BPT) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  const at::Tensor scores = at::einsum("bphd,bthd->bhpt", {q, k}) * scale + bias_BPT.unsqueeze(1);
  return at::einsum("bhpt,bthd->bphd", {scores.softmax(-1), v}).flatten(2);
}

at::Tensor bias_of(AttentionMode mode, const std::vector<Span>& valid, int64_t tokens) {
  at::Tensor bias = at::zeros({static_cast<int64_t>(valid.size()), tokens, tokens}, at::kDouble);
  for (size_t b = 0; b < valid.size(); ++b)
    for (int64_t i = 0; i < tokens; ++i)
      for (int64_t j = 0; j < tokens; ++j) {
        if (mode == AttentionMode::kHard && !valid[b].contains(j)) bias[b][i][j] = -1e30;
        if (mode == AttentionMode::kAdditiveOne && valid[b].contains(i) && valid[b].contains(j))
          bias[b][i][j] = 1;
      }
  return bias;
}

void check_mode(AttentionMode mode, const std::vector<Span>& valid) {
  const auto rows = static_cast<int64_t>(valid.size());
  constexpr int64_t kTokens = 9;
  std::vector<at::Tensor> leaves[2];
  at::Tensor outputs[2];
  for (int exact = 0; exact < 2; ++exact) {
    for (uint64_t seed = 0; seed < 3; ++seed)
      leaves[exact].push_back(random_tensor({rows, kTokens, 2, 6}, seed)
                                  .to(exact ? at::kDouble : at::kFloat)
                                  .set_requires_grad(true));
    const auto& [q, k, v] = std::tie(leaves[exact][0], leaves[exact][1], leaves[exact][2]);
    outputs[exact] =
        exact ? plain_attention(q, k, v, bias_of(mode, valid, kTokens)) : attention(q, k, v, {mode, valid});
    (outputs[exact] * random_tensor({rows, kTokens, 12}, 9)).sum().backward();
  }
  CHECK(max_difference(outputs[0], outputs[1]) < 2e-6);
  for (int i = 0; i < 3; ++i) CHECK(max_difference(leaves[0][i].grad(), leaves[1][i].grad()) < 5e-6);
}

}  // namespace

TEST_CASE("attention equals the formula with an explicit bias in every mode, gradients included") {
  for (const auto mode : {AttentionMode::kNone, AttentionMode::kAdditiveOne, AttentionMode::kHard}) {
    INFO(attention_mode_name(mode));
    check_mode(mode, {{0, 9}, {0, 9}});
    check_mode(mode, {{3, 9}, {3, 9}, {0, 4}});
    check_mode(mode, {{0, 1}, {8, 9}, {0, 9}, {0, 1}});
  }
}

TEST_CASE("a row attends alike alone and among rows of other spans") {
  const at::Tensor q = random_tensor({3, 12, 2, 8}, 1), k = random_tensor({3, 12, 2, 8}, 2);
  const at::Tensor v = random_tensor({3, 12, 2, 8}, 3);
  const at::Tensor batch = attention(q, k, v, {AttentionMode::kHard, {{0, 5}, {2, 12}, {0, 12}}});
  const auto cut = [](const at::Tensor& x) { return x.slice(0, 1, 2).slice(1, 2, 12); };
  const at::Tensor alone = attention(cut(q), cut(k), cut(v), {});
  CHECK(max_difference(batch[1].slice(0, 2, 12), alone[0]) < 1e-6);
}

TEST_CASE("attention modes have names") {
  for (const auto mode : {AttentionMode::kNone, AttentionMode::kAdditiveOne, AttentionMode::kHard})
    CHECK(attention_mode_from_name(attention_mode_name(mode)) == mode);
  CHECK_THROWS_WITH(attention_mode_from_name("causal"), Catch::Contains("none, additive_one or hard"));
}

}  // namespace mmada
