// SPDX-License-Identifier: MIT
#include "mmada/model/sharded_transformer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>

#include "tests/distributed/ranks.h"
#include "tests/model/small_training.h"
#include "tests/support/memory_meter.h"

namespace mmada {
namespace {

using namespace test;

struct Variant {
  bool tied = false;
  Recompute recompute = Recompute::kNothing;
  ShardPolicy policy;
};

/// The same weights, in shards.
std::unique_ptr<ShardedTransformer> sharded_transformer(const Group& group, const Variant& variant) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> weights;
  const Transformer plain = plain_transformer(variant.tied, variant.policy.master);
  for (const NamedParameter& parameter : plain.parameters()) weights[parameter.name] = parameter.tensor;
  return std::make_unique<ShardedTransformer>(
      small_config(variant.tied), group, variant.policy, variant.recompute,
      [&](const std::string& name, const at::Tensor& parameter) { parameter.copy_(weights.at(name)); });
}

Trace train_plainly(bool tied, at::ScalarType type) {
  Trace trace{.loss = {}, .norm = {}, .weights = plain_transformer(tied, type)};
  std::vector<TrainedTensor> parameters;
  for (const NamedParameter& parameter : trace.weights.parameters())
    parameters.push_back(trained_whole(parameter));
  AdamW optimizer(parameters, adam());
  for (int64_t step = 0; step < kSteps; ++step) {
    trace.loss.push_back(backward(token_logprobs(trace.weights), rows_of(step, 0, kRows)));
    update(optimizer, &trace);
  }
  return trace;
}

Trace train_sharded(const Group& group, const Variant& variant) {
  const auto model = sharded_transformer(group, variant);
  AdamW optimizer(trained_pieces(*model), adam(), group);
  Trace trace;
  for (int64_t step = 0; step < kSteps; ++step) {
    model->shards().release_all();
    trace.loss.push_back(backward_share(*model, step));
    update(optimizer, &trace);
  }
  trace.weights = model->whole(variant.policy.master, true);
  return trace;
}

std::vector<Variant> variants() {
  std::vector<Variant> result;
  for (const bool tied : {false, true})
    for (const Recompute recompute : {Recompute::kNothing, Recompute::kNormsAndSwiglu, Recompute::kBlocks})
      result.push_back({tied, recompute, {}});
  return result;
}

TEST_CASE("ten steps in every rank", "[.equal]") {
  const Group group = test::connect();
  for (const Variant& variant : variants()) {
    const Trace plain = train_plainly(variant.tied, at::kFloat);
    CHECK(plain.loss.back() < 0.9 * plain.loss.front());
    compare(train_sharded(group, variant), plain);
  }
}

TEST_CASE("ten steps in fp64 in every rank", "[.exact]") {
  const Group group = test::connect();
  for (Variant variant : variants()) {
    ShardPolicy& policy = variant.policy;
    policy.master = policy.compute = policy.reduce = at::kDouble;
    compare(train_sharded(group, variant), train_plainly(variant.tied, at::kDouble),
            {.loss = 1e-13, .norm = 1e-13, .weights = 1e-13});
  }
}

TEST_CASE("in fp64 one to four processes train the transformer to the last digits as one") {
  for (const int processes : {1, 2, 3, 4}) CHECK(test::run_ranks("[.exact]", processes) == 0);
}

TEST_CASE("one to four processes train the transformer as one that knows no shards") {
  for (const int processes : {1, 2, 3, 4}) CHECK(test::run_ranks("[.equal]", processes) == 0);
}

TEST_CASE("more processes than rows: the idle ones take part and add nothing") {
  CHECK(test::run_ranks("[.equal]", 6) == 0);
}

TEST_CASE("an idle pass leaves gradients as they are, bit for bit") {
  const auto model = sharded_transformer({}, {});
  backward_share(*model, 0);
  std::vector<at::Tensor> before;
  for (const auto& [segment, kind] : model->segments()) before.push_back(segment.master.grad().clone());
  const at::Tensor idle = model->idle_pass();
  CHECK(idle.item<double>() == 0.0);
  idle.backward();
  for (size_t i = 0; i < before.size(); ++i)
    CHECK(at::equal(model->segments()[i].first.master.grad(), before[i]));
}

/// Bytes that a forward pass leaves behind for its backward pass.
int64_t kept_bytes(Recompute recompute) {
  const auto model = sharded_transformer({}, {false, recompute, {}});
  const auto meter = std::make_shared<test::TensorMemoryMeter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  const RowGroup rows = rows_of(0, 0, kRows);
  const int64_t before = meter->live;
  const Losses losses = weighted_losses(token_logprobs(*model), {rows});
  return meter->live - before;
}

TEST_CASE("what is computed anew is not kept") {
  const int64_t all = kept_bytes(Recompute::kNothing), some = kept_bytes(Recompute::kNormsAndSwiglu),
                least = kept_bytes(Recompute::kBlocks);
  // a full block keeps two norms and a SwiGLU less, a partial one two norms and a SwiGLU of fewer rows
  const int64_t tokens = kRows * kTokens, chosen = 4 * kRows, width = 24, hidden = 40;
  const int64_t saved = tokens * (2 * width + hidden) + tokens * width + chosen * (2 * width + hidden);
  CHECK(all - some == Approx(4 * saved).epsilon(0.05));
  CHECK(least < some / 2);
}

TEST_CASE("bf16 in every rank", "[.bf16]") {
  const Group group = test::connect();
  const Trace plain = train_plainly(false, at::kFloat);
  const Trace found = train_sharded(group, {.policy = {.compute = at::kBFloat16}});
  for (size_t i = 0; i < plain.loss.size(); ++i) CHECK(found.loss[i] == Approx(plain.loss[i]).epsilon(0.03));
  CHECK(found.loss[1] != plain.loss[1]);
}

TEST_CASE("bf16 weights over fp32 masters train nearly the same") {
  CHECK(test::run_ranks("[.bf16]", 2) == 0);
}

TEST_CASE("ids outside the vocabulary are refused before any pass") {
  const auto model = sharded_transformer({}, {});
  const at::Tensor zero = at::zeros({1}, at::kLong);
  CHECK_THROWS_WITH(
      model->logprobs({.ids_BT = at::full({1, 2}, kVocabulary, at::kLong)}, zero, {{kText, zero}}),
      Catch::Contains("found token ids from 60 to 60"));
}

}  // namespace
}  // namespace mmada
