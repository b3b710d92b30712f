// SPDX-License-Identifier: MIT
#include "mmada/trainer/run_plan.h"

#include <ATen/ATen.h>

#include "mmada/diffusion/losses.h"
#include "tests/distributed/ranks.h"
#include "tests/support/memory_meter.h"

namespace mmada {
namespace {

/// The pocket model's shape and one of its micro-batches.
RunShape pocket(Recompute recompute, int64_t processes = 1) {
  RunShape run;
  run.model.d_model = 192, run.model.n_layers = 6, run.model.n_heads = run.model.n_kv_heads = 3;
  run.model.mlp_hidden_size = 512, run.model.vocab_size = 1536;
  run.processes = processes, run.recompute = recompute;
  run.passes = {{.rows = 24 / processes, .tokens = 107, .positions = 24 / processes * 50}};
  return run;
}

RowGroup rows_of(const RunShape& run) {
  const PassShape& pass = run.passes.front();
  const at::Tensor all = at::arange(pass.rows * pass.tokens, at::kLong);
  const at::Tensor positions = all.view({pass.rows, pass.tokens}).slice(1, 3, 3 + pass.positions / pass.rows);
  return {.rows = {.ids_BT = all.remainder(1500).view({pass.rows, pass.tokens})},
          .targets = {{.positions_N = positions.flatten(),
                       .targets_N = positions.flatten().remainder(1400),
                       .weights_N = at::full({pass.positions}, 1e-3, at::kFloat),
                       .window = {0, run.model.vocab_size},
                       .flow = "lm"}}};
}

struct Measured {
  int64_t peak_bytes;
  ShardCounters counters;
};

/// Two optimizer steps; the counters of the second.
Measured measure(const RunShape& run, const Group& group) {
  const auto meter = std::make_shared<test::TensorMemoryMeter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  const RowGroup rows = rows_of(run);
  ShardedTransformer model(
      run.model, group, run.policy, run.recompute,
      [](const std::string&, const at::Tensor& parameter) { parameter.normal_(0, 0.02); }, run.lora);
  AdamW optimizer(trained_pieces(model),
                  {.ema_decay = run.averaged_weights ? 0.9 : 0.0, .moments_8bit = run.moments_8bit}, group);
  ShardCounters before;
  for (int step = 0; step < 2; ++step) {
    before = model.shards().counters();
    optimizer.zero_grad();
    model.shards().release_all();
    const Losses losses = weighted_losses(token_logprobs(model), {rows});
    losses.total.backward();
    optimizer.grad_norm();
    optimizer.step(1.0);
  }
  Measured measured{meter->peak, model.shards().counters()};
  measured.counters.gathered_bytes -= before.gathered_bytes;
  measured.counters.reduced_bytes -= before.reduced_bytes;
  return measured;
}

void compare(const RunShape& run, const Group& group) {
  const Measured measured = measure(run, group);
  const MemoryPlan plan = memory_plan(run);
  INFO("recompute " << static_cast<int>(run.recompute) << ", processes " << run.processes << ": planned "
                    << plan.parameters << " + " << plan.gradients << " + " << plan.optimizer << " + "
                    << plan.activations << " + " << plan.working);
  CHECK(static_cast<double>(plan.total()) == Approx(static_cast<double>(measured.peak_bytes)).epsilon(0.1));
  const WorkPlan work = work_plan(run);
  CHECK(work.gathered_bytes == measured.counters.gathered_bytes);
  CHECK(work.reduced_bytes == measured.counters.reduced_bytes);
}

std::vector<RunShape> runs(int64_t processes) {
  std::vector<RunShape> result;
  for (const Recompute recompute : {Recompute::kNothing, Recompute::kNormsAndSwiglu, Recompute::kBlocks}) {
    result.push_back(pocket(recompute, processes));
    result.back().averaged_weights = recompute == Recompute::kNothing;
    result.back().policy.release = recompute != Recompute::kNormsAndSwiglu;
    result.back().moments_8bit = recompute == Recompute::kBlocks;
    if (result.back().moments_8bit) result.back().policy.alignment = kMomentBlock;
  }
  return result;
}

/// Adapters on bases of every format: of a few projections, of all of them, and of the last blocks alone.
std::vector<RunShape> adapted_runs(int64_t processes) {
  const std::vector<std::string> all = {"q_proj",  "k_proj",  "v_proj", "attn_out",
                                        "ff_proj", "up_proj", "ff_out"};
  const std::vector<int64_t> layers = {0, 1, 2, 3, 4, 5};
  std::vector<RunShape> result(3, pocket(Recompute::kNothing, processes));
  result[0].lora = {.targets = {"q_proj", "v_proj"}, .layers = layers};
  result[1].lora = {.targets = all, .layers = layers, .dora = true, .base = WeightFormat::kInt8};
  result[1].recompute = Recompute::kBlocks;
  result[2].lora = {.targets = {"up_proj", "ff_out"}, .layers = {3, 5}, .base = WeightFormat::kNf4};
  result[2].policy.release = false;
  return result;
}

TEST_CASE("a process alone holds what the plan says, within a tenth") {
  for (const RunShape& run : runs(1)) compare(run, {});
  for (const RunShape& run : adapted_runs(1)) compare(run, {});
}

TEST_CASE("planned in every rank", "[.planned]") {
  const Group group = test::connect();
  for (const RunShape& run : runs(group.size())) compare(run, group);
  for (const RunShape& run : adapted_runs(group.size())) compare(run, group);
}

TEST_CASE("so do two and four processes, which gather and reduce to the byte what the plan says") {
  for (const int processes : {2, 4}) CHECK(test::run_ranks("[.planned]", processes) == 0);
}

/// MMaDA-8B on eight GPUs at the recommended settings (TRAINING.md).
RunShape published() {
  RunShape run;
  run.model.d_model = 4096, run.model.n_layers = 32, run.model.n_heads = run.model.n_kv_heads = 32;
  run.model.mlp_hidden_size = 12288, run.model.vocab_size = 134656;
  run.processes = 8;
  run.policy.compute = at::kBFloat16;
  run.recompute = Recompute::kNormsAndSwiglu;
  run.passes = {{.rows = 8, .tokens = 1539, .positions = 8 * 1539}};
  return run;
}

TEST_CASE("the published model's figures are those worked out on paper") {
  RunShape run = published();
  run.moments_8bit = true;
  CHECK(static_cast<double>(memory_plan(run).optimizer) / 1e9 == Approx(2.05).epsilon(0.01));
  run.moments_8bit = false;
  const MemoryPlan memory = memory_plan(run);
  CHECK(static_cast<double>(memory.parameters) / 1e9 == Approx(4.04 + 1.54).epsilon(0.02));
  CHECK(static_cast<double>(memory.optimizer) / 1e9 == Approx(8.08).epsilon(0.01));
  // 24 d bytes for each token and layer
  CHECK(static_cast<double>(memory.activations) / 1e9 == Approx(8 * 4.85).epsilon(0.06));
  const WorkPlan work = work_plan(run);
  CHECK(static_cast<double>(work.tokens) == 8 * 1539);
  CHECK(work.flops / static_cast<double>(work.tokens) == Approx(47.6e9).epsilon(0.01));
  CHECK(static_cast<double>(work.gathered_bytes) / 1e9 ==
        Approx((2 * 8.0827 - 2 * 0.5516) * 2).epsilon(0.01));
  CHECK(static_cast<double>(work.reduced_bytes) / 1e9 == Approx(8.0827 * 4).epsilon(0.01));
}

TEST_CASE("a prediction is bound by what takes longer, computing or moving") {
  RunShape run = published();
  const SpeedPrediction eight = predict_speed(run);
  CHECK(eight.model_flops_utilization > 0.47);
  CHECK(eight.tokens_per_second > 9800);
  CHECK(eight.model_flops_utilization < 0.5);
  run.passes = {{.rows = 1, .tokens = 200, .positions = 100}};  // too little to hide the collectives behind
  CHECK(predict_speed(run).model_flops_utilization < 0.1);
}

TEST_CASE("a reference is one copy more of a process's shards where it lies, and one while it is asked") {
  RunShape run = pocket(Recompute::kBlocks, 2);
  const MemoryPlan none = memory_plan(run);
  run.reference = true;
  const MemoryPlan elsewhere = memory_plan(run);
  run.reference_here = true;
  const MemoryPlan here = memory_plan(run);
  const int64_t shards = none.optimizer / 2;  // two moments of the masters' type
  CHECK(none.reference + none.set_aside == 0);
  CHECK(elsewhere.reference == 0);
  CHECK(elsewhere.set_aside == shards);
  CHECK(here.total() - elsewhere.total() == shards);
  run.passes = {};  // nothing but log p is computed
  const MemoryPlan asked = memory_plan(run);
  CHECK(asked.total() - asked.parameters - asked.gradients - asked.optimizer == 2 * shards);
}

}  // namespace
}  // namespace mmada
