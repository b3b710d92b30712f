// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/reference_weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>
#include <optional>

#include "tests/distributed/ranks.h"
#include "tests/model/small_training.h"

namespace mmada {
namespace {

using namespace test;

std::unique_ptr<ShardedTransformer> policy_of(const Group& group,
                                              const std::optional<LoraOptions>& lora = {}) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> weights;
  const Transformer plain = plain_transformer(false);
  for (const NamedParameter& parameter : plain.parameters()) weights[parameter.name] = parameter.tensor;
  return std::make_unique<ShardedTransformer>(
      small_config(false), group, ShardPolicy{}, Recompute::kNothing,
      [&](const std::string& name, const at::Tensor& parameter) { parameter.copy_(weights.at(name)); }, lora);
}

void move_by(ShardedTransformer& policy, double step) {
  const at::NoGradGuard no_grad;
  for (const ShardSegment& segment : policy.shards().segments()) at::Tensor(segment.master).add_(step);
  policy.shards().release_all();
}

/// log p of some tokens of a row.
at::Tensor look(ShardedTransformer& policy) {
  const at::NoGradGuard no_grad;
  const at::Tensor ids = at::arange(12, at::kLong);
  return policy.logprobs({.ids_BT = ids.unsqueeze(0)}, at::tensor({3, 7}, at::kLong),
                         {{.window = kText, .ids_N = at::tensor({9, 30}, at::kLong)}});
}

TEST_CASE("the reference in every rank", "[.reference]") {
  const auto policy = policy_of(test::connect());
  const at::Tensor first = look(*policy);
  ReferenceWeights reference(*policy, true);
  move_by(*policy, 0.01);
  const at::Tensor moved = look(*policy);
  REQUIRE_FALSE(at::equal(moved, first));
  at::Tensor seen;
  reference.in_place_of(*policy, [&] { seen = look(*policy); });
  CHECK(at::equal(seen, first));
  CHECK(at::equal(look(*policy), moved));
  CHECK_THROWS(reference.in_place_of(*policy, [] { throw Error("within"); }));
  CHECK(at::equal(look(*policy), moved));

  reference.sync(*policy, 0.5);
  move_by(*policy, -0.005);  // half way back
  const at::Tensor half = look(*policy);
  reference.in_place_of(*policy, [&] { seen = look(*policy); });
  CHECK(at::allclose(seen, half, 1e-4, 1e-5));
  CHECK_FALSE(at::allclose(seen, first, 1e-4, 1e-5));
  reference.sync(*policy, 1.0);
  reference.in_place_of(*policy, [&] { seen = look(*policy); });
  CHECK(at::equal(seen, half));
}

TEST_CASE("the reference keeps its weights while the policy moves, and lends them its place for a while") {
  for (const int processes : {1, 2}) CHECK(test::run_ranks("[.reference]", processes) == 0);
}

TEST_CASE("the reference of adapters in every rank", "[.adapters]") {
  const Group group = test::connect();
  const at::Tensor base = look(*policy_of(group));
  const auto policy = policy_of(
      group, LoraOptions{.rank = 4, .alpha = 8, .targets = {"v_proj", "ff_proj"}, .layers = {0, 1}});
  const ReferenceWeights reference(*policy, false);
  move_by(*policy, 0.2);
  REQUIRE_FALSE(at::allclose(look(*policy), base, 0, 1e-3));
  at::Tensor seen;
  reference.in_place_of(*policy, [&] { seen = look(*policy); });
  CHECK(at::allclose(seen, base, 0, 1e-6));
}

TEST_CASE("the reference of adapters is the base without any, however far they have moved") {
  for (const int processes : {1, 2}) CHECK(test::run_ranks("[.adapters]", processes) == 0);
}

TEST_CASE("what checkpoints hold of the reference is read back in place") {
  const auto policy = policy_of({});
  ReferenceWeights reference(*policy, false);
  const at::Tensor first = look(*policy);
  for (const CheckpointTensor& tensor : reference.tensors(*policy)) {
    CHECK(tensor.kind == "reference");
    at::Tensor(tensor.tensor).zero_();
  }
  at::Tensor seen;
  reference.in_place_of(*policy, [&] { seen = look(*policy); });
  CHECK_FALSE(at::equal(seen, first));
  CHECK(at::equal(look(*policy), first));
}

}  // namespace
}  // namespace mmada
