// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/unigrpo_setup.h"

#include <algorithm>
#include <utility>

#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr int64_t kMaxTokens = 1 << 20, kMaxCount = 1 << 20;

void parse_noise(Fields& fields, UniGrpoOptions* options) {
  options->levels.updates = fields.integer("num_iterations", 1, 1 << 12, options->levels.updates);
  options->levels.spacing =
      noise_spacing_from_name(fields.choice("spacing", {"formula", "example", "random", "fixed"}, "formula"));
  options->levels.timesteps =
      fields.integer("timesteps", options->levels.updates, 1 << 20, options->levels.timesteps);
  options->levels.fixed_share = fields.number("fixed_share", 1e-6, 1.0, options->levels.fixed_share);
  options->noise.kind =
      response_noise_from_name(fields.choice("noise", {"structured", "coupled", "trace"}, "structured"));
  options->noise.shrink = fields.integer("shrink", 1, kMaxTokens, options->noise.shrink);
}

void parse_loss(Fields& fields, UniGrpoOptions* options) {
  PolicyLossOptions& loss = options->loss;
  loss.clip_low = fields.number("epsilon", 0.0, 1.0, loss.clip_low);
  loss.clip_high = fields.number("epsilon_high", 0.0, 1e6, loss.clip_low);
  loss.sequence_ratio =
      fields.choice("importance_sampling_level", {"token", "sequence"}, "token") == "sequence";
  loss.beta = fields.number("beta", 0.0, 1e6, 0.01);
  loss.kl = kl_estimator_from_name(fields.choice("kl", {"k1", "k2", "k3"}, "k3"));
  options->kl_against = fields.choice("kl_against", {"reference", "old"}, "reference") == "old"
                            ? KlAgainst::kOld
                            : KlAgainst::kReference;
  options->offload_reference = fields.boolean("offload_reference", false);
  options->sync_reference_every = fields.integer("ref_model_sync_steps", 0, kMaxCount, 0);
  options->sync_mix = fields.number("ref_model_mixup_alpha", 0.0, 1.0, options->sync_mix);
  options->weighting.aggregation =
      fields.choice("loss_aggregation", {"sequence", "token"}, "sequence") == "token"
          ? LossAggregation::kToken
          : LossAggregation::kSequence;
  options->weighting.by_response_length =
      fields.choice("length_normalization", {"masked", "response"}, "masked") == "response";
}

UniGrpoOptions parse_unigrpo(Fields fields) {
  UniGrpoOptions options;
  PhaseOptions& phase = options.phase;
  phase.num_generations = fields.integer("num_generations", 2, kMaxCount, phase.num_generations);
  phase.rows_together = fields.integer("rows_together", 1, kMaxCount, phase.rows_together);
  phase.eos_tail = fields.integer("eos_tail", 0, kMaxTokens, phase.eos_tail);
  phase.saved_pictures = fields.integer("saved_pictures", 0, kMaxCount, phase.saved_pictures);
  phase.advantages.scale =
      reward_scale_from_name(fields.choice("scale_rewards", {"group", "batch", "none"}, "group"));
  phase.advantages.epsilon = fields.number("advantage_epsilon", 0.0, 1.0, phase.advantages.epsilon);
  parse_noise(fields, &options);
  parse_loss(fields, &options);
  options.sharded_rollouts = fields.choice("rollout_weights", {"whole", "sharded"}, "whole") == "sharded";
  options.tokens_per_pass = fields.integer("tokens_per_pass", 1, int64_t{1} << 40, options.tokens_per_pass);
  fields.finish();
  return options;
}

/// Pictures have the size of the run's, and captions its budget.
void complete_streams(const TransformerSetup& setup, int64_t budget, const std::string& source,
                      std::vector<PromptStream>* streams) {
  const int64_t longest = setup.built.sizes.max_sequence_length;
  for (PromptStream& stream : *streams) {
    const bool pictures = stream.task != PromptTask::kText;
    MMADA_CHECK(
        !pictures || setup.encoder.image_tokenizer() != nullptr, source,
        ": field `image_tokenizer.from`: found nothing, expected an image tokenizer for prompts of task ",
        prompt_task_name(stream.task));
    const int64_t row = stream.task == PromptTask::kT2i   ? budget + setup.encoder.image_tokens() + 3
                        : stream.task == PromptTask::kMmu ? stream.length + setup.encoder.image_tokens() + 3
                                                          : stream.length;
    MMADA_CHECK(row <= longest, source, ": prompt stream ", stream.name, ": found rows of ", row,
                " tokens, expected at most the model's max_sequence_length ", longest);
    if (stream.task != PromptTask::kT2i) continue;
    const SampleEncoder::Options& options = setup.encoder.options();
    stream.image.rows = stream.image.columns =
        options.resolution / setup.encoder.image_tokenizer()->config().factor();
    stream.image.max_text_length = budget;
  }
}

}  // namespace

UniGrpoSetup set_up_unigrpo(Fields& fields, const std::string& source, const TrainerOptions& trainer,
                            const LoadOptions& load) {
  if (trainer.gradient_accumulation_steps != 1)
    fields.fail("training.gradient_accumulation_steps", cat(trainer.gradient_accumulation_steps),
                "1: unigrpo.tokens_per_pass bounds what goes through the network at once");
  Fields dataset = fields.object("dataset");
  const int64_t budget = dataset.integer("max_seq_length", 2, kMaxTokens);
  auto streams = parse_prompt_streams(dataset.raw("prompts"), source, "dataset.prompts");
  dataset.finish();
  UniGrpoOptions options = parse_unigrpo(fields.object("unigrpo"));
  Fields evaluation = fields.object("evaluation");
  if (evaluation.has("prompts"))
    options.evaluation.streams =
        parse_prompt_streams(evaluation.raw("prompts"), source, "evaluation.prompts");
  options.evaluation.seed = static_cast<uint64_t>(evaluation.integer("seed", 0, INT64_MAX, 1));
  evaluation.finish();
  options.evaluation.rows_together = options.phase.rows_together;
  const Json& listed = fields.raw("rewards");
  TransformerFields transformer(fields, trainer, load);
  fields.finish();
  std::vector<std::string> names;
  for (const auto* list : {&streams, &options.evaluation.streams})
    for (const PromptStream& stream : *list) names.push_back(stream.name);
  RewardSet rewards(listed, source, "rewards", names);

  TransformerSetup setup = transformer.load();
  complete_streams(setup, budget, source, &streams);
  complete_streams(setup, budget, source, &options.evaluation.streams);
  options.phase.streams = std::move(streams);
  options.phase.seed = trainer.seed;
  options.phase.output_dir = trainer.output_dir;
  for (const char* section : {"dataset", "rewards", "unigrpo", "model", "image_tokenizer"})
    options.phase.settings[section] = trainer.config.value(section, Json());
  options.phase.settings["seed"] = trainer.seed;
  return {.transformer = std::move(setup), .rewards = std::move(rewards), .options = std::move(options)};
}

UniGrpoStep make_unigrpo_step(UniGrpoSetup setup, Group group) {
  SampleEncoder encoder = setup.transformer.encoder;
  return {make_network(std::move(setup.transformer), std::move(group)), std::move(encoder),
          std::move(setup.rewards), std::move(setup.options)};
}

RunShape run_shape(const UniGrpoSetup& setup, int64_t processes) {
  const int64_t tokens = setup.options.tokens_per_pass;
  RunShape run =
      run_shape(setup.transformer, processes, 1, {{.rows = 1, .tokens = tokens, .positions = tokens / 2}});
  run.rollouts = !setup.options.sharded_rollouts;
  run.reference = setup.options.needs_reference();
  run.reference_here =
      run.reference && (!setup.options.offload_reference || setup.transformer.policy.device.is_cpu());
  return run;
}

}  // namespace mmada
