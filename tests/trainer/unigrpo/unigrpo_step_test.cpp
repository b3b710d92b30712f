// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/unigrpo_step.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>

#include <filesystem>
#include <map>

#include "tests/distributed/ranks.h"
#include "tests/generation/small_generator.h"

namespace mmada {
namespace {

int64_t gathers = 0;

/// Of weights: what else the processes tell one another is of other types.
std::unique_ptr<at::ObserverContext> count_gather(const at::RecordFunction& call) {
  if (std::string_view(call.name()) != "c10d::_allgather_base_") return nullptr;
  const at::Tensor& out = call.inputs()[0].toTensor();
  if (out.scalar_type() == at::kFloat && out.numel() > 0) ++gathers;
  return nullptr;
}

struct Amount {
  int64_t prompts = 0, steps = 0;
  int64_t rounds() const { return prompts; }  ///< two responses of each, one in each of two processes
};

UniGrpoStep step_of(const Group& group, const Amount& amount, bool sharded, const std::string& folder) {
  const at::NoGradGuard no_grad;
  const Model model = tiny::generator().model();
  std::map<std::string, at::Tensor> weights;
  for (const NamedParameter& parameter : model.transformer.parameters())
    weights[parameter.name] = parameter.tensor;
  auto transformer = std::make_unique<ShardedTransformer>(
      tiny::config(), group, ShardPolicy{}, Recompute::kNothing,
      [&](const std::string& name, const at::Tensor& parameter) { parameter.copy_(weights.at(name)); });
  PromptStream stream{.name = "sums", .task = PromptTask::kText, .prompts = amount.prompts};
  stream.text = {
      .gen_length = 12, .block_length = 12, .steps = amount.steps, .temperature = 1.0, .early_stop = false};
  stream.source = {{"type", "shapes"}, {"task", "arithmetic"}, {"prompts", true}};
  UniGrpoOptions options;
  options.phase.streams = {stream};
  options.phase.num_generations = 2, options.phase.rows_together = 1;
  options.phase.output_dir = folder;
  options.sharded_rollouts = sharded;
  const Json rewards = {{{"name", "format"}, {"reward", {{"type", "format"}}}}};
  return {{.model = model,
           .transformer = std::move(transformer),
           .weights = at::TensorOptions(at::kFloat),
           .tokenizer_source = ""},
          SampleEncoder(model.tokenizer, nullptr, model.layout, {}),
          RewardSet(rewards, "run.json", "rewards"),
          std::move(options)};
}

/// Gathers of weights so far, before each round of rollouts.
std::vector<int64_t> gathers_of(const Group& group, const Amount& amount, bool sharded) {
  const std::string folder = MMADA_TEST_TMP "/gathers";
  if (group.rank() == 0) std::filesystem::remove_all(folder);
  group.barrier();
  UniGrpoStep step = step_of(group, amount, sharded, folder);
  std::vector<int64_t> seen;
  gathers = 0;
  const auto handle = at::addThreadLocalCallback(at::RecordFunctionCallback(count_gather).needsInputs(true));
  const bool made = step.prepare(0, [&] {
    seen.push_back(gathers);
    return std::ssize(seen) == amount.rounds();
  });
  at::removeCallback(handle);
  CHECK_FALSE(made);
  REQUIRE(std::ssize(seen) == amount.rounds());
  return seen;
}

TEST_CASE("gathers of weights for rollouts in every rank", "[.gathers]") {
  const Group group = test::connect();
  const int64_t layers = tiny::config().n_layers, units = layers + 2;
  for (const Amount& amount : {Amount{.prompts = 2, .steps = 2}, Amount{.prompts = 4, .steps = 12}}) {
    INFO(amount.prompts << " prompts, " << amount.steps << " steps");
    CHECK(gathers_of(group, amount, false) == std::vector<int64_t>(amount.rounds(), units));
    const std::vector<int64_t> in_shards = gathers_of(group, amount, true);
    for (size_t i = 1; i < in_shards.size(); ++i)
      CHECK(in_shards[i] - in_shards[i - 1] >= amount.steps * (layers + 1));
  }
}

TEST_CASE(
    "whole weights are gathered once, before the first response, however many prompts and steps there are, "
    "those "
    "in shards at every step") {
  CHECK(test::run_ranks("[.gathers]", 2) == 0);
}

}  // namespace
}  // namespace mmada
