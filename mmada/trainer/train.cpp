// SPDX-License-Identifier: MIT
#include "mmada/trainer/train.h"

#include <ATen/Parallel.h>

#include <chrono>
#include <memory>

#include "mmada/core/check.h"
#include "mmada/data/source.h"
#include "mmada/distributed/environment.h"
#include "mmada/trainer/build_model.h"
#include "mmada/trainer/sft_step.h"
#include "mmada/trainer/text_tokenizer.h"
#include "mmada/trainer/tokenizer_step.h"

namespace mmada {
namespace {

constexpr int64_t kMaxTokens = 1 << 20, kMaxSide = 1 << 14;

struct Common {
  TrainerOptions trainer;
  LoadOptions load;
  std::chrono::milliseconds timeout{};  ///< after which processes give each other up
};

Common parse_common(Fields& fields, const Json& config) {
  Common common;
  common.trainer = parse_trainer_options(fields, config);
  common.load.device = fields.string("device", "cpu");
  common.load.dtype = fields.choice("dtype", {"fp32", "bf16", "fp16"}, "fp32");
  const int64_t threads = fields.integer("threads", 0, 4096, 0);
  if (threads > 0) at::set_num_threads(static_cast<int>(threads));
  common.timeout = std::chrono::seconds(fields.integer("process_timeout_seconds", 1, 1 << 20, 300));
  return common;
}

LossCompat parse_loss_compat(Fields fields) {
  const bool reference = fields.choice("compat", {"fixed", "reference"}, "fixed") == "reference";
  LossCompat compat = reference ? LossCompat::reference() : LossCompat::fixed();
  compat.t2i_boundary_targets = fields.boolean("t2i_boundary_targets", compat.t2i_boundary_targets);
  compat.t2i_code_window = fields.boolean("t2i_code_window", compat.t2i_code_window);
  compat.t2i_inverse_time = fields.boolean("t2i_inverse_time", compat.t2i_inverse_time);
  fields.finish();
  return compat;
}

struct Pictures {
  std::string path;
  SampleEncoder::Options options;
};

Pictures parse_pictures(Fields fields) {
  Pictures pictures;
  pictures.path = fields.string("from", "");
  pictures.options.resolution = fields.integer("resolution", 1, kMaxSide, pictures.options.resolution);
  pictures.options.fit = fit_from_name(fields.choice("fit", {"clip", "squash", "pad"}, "clip"));
  pictures.options.cached_pictures =
      fields.integer("cached_pictures", 0, 1 << 26, pictures.options.cached_pictures);
  fields.finish();
  return pictures;
}

struct Sharding {
  ShardPolicy policy;
  Recompute recompute = Recompute::kNothing;
};

Sharding parse_sharding(Fields fields, const LoadOptions& load) {
  Sharding sharding;
  ShardPolicy& policy = sharding.policy;
  policy.release = fields.integer("zero", 2, 3, 3) == 3;
  policy.prefetch = fields.boolean("prefetch", policy.prefetch);
  policy.compute = scalar_type_from_name(load.dtype);
  policy.reduce = scalar_type_from_name(fields.choice("reduce_dtype", {"fp32", "bf16"}, "fp32"));
  policy.device = device_from_name(load.device);
  if (fields.choice("recompute", {"none", "blocks"}, "none") == "blocks")
    sharding.recompute = Recompute::kBlocks;
  fields.finish();
  return sharding;
}

SftStep make_sft_step(Fields& fields, const std::string& source, const Common& common, const Group& group) {
  SftStep::Options options;
  const uint64_t seed = common.trainer.seed;
  options.micro_batches = common.trainer.gradient_accumulation_steps;
  options.rows.seed = seed;
  options.rows.compat = parse_loss_compat(fields.object("loss"));
  Fields dataset = fields.object("dataset");
  options.flows = FlowPlan(dataset, source);
  options.rows.text_budget = dataset.integer("max_seq_length", 2, kMaxTokens);
  options.rows.stratified_times = dataset.boolean("stratified_times", true);
  dataset.finish();
  const Pictures pictures = parse_pictures(fields.object("image_tokenizer"));
  options.rows.attention_mode =
      attention_mode_from_name(fields.choice("attention_mode", {"hard", "none", "additive_one"}, "hard"));
  Fields gate = fields.object("condition_gate");
  options.gate.rows = gate.integer("rows", 2, kMaxTokens, options.gate.rows);
  gate.finish();
  const auto [policy, recompute] = parse_sharding(fields.object("sharding"), common.load);
  Fields model = fields.object("model");
  fields.finish();

  std::shared_ptr<const Magvit2> images;
  if (!pictures.path.empty())
    images = std::make_shared<const Magvit2>(
        load_image_tokenizer(pictures.path, {.device = common.load.device, .dtype = ""}));
  BuiltModel built = build_model(model, images == nullptr ? 0 : images->config().codebook_size(), seed);
  options.tokenizer_source = built.tokenizer_source;
  options.weights = at::TensorOptions(policy.device).dtype(policy.compute);
  options.rows.layout = built.model.layout;
  SampleEncoder encoder(built.model.tokenizer, images, built.model.layout, pictures.options);
  options.rows.image_tokens = encoder.image_tokens();
  options.rows.assistant = built.model.tokenizer->encode("assistant");
  auto transformer = std::make_unique<ShardedTransformer>(built.sizes, group, policy, recompute, built.fill);
  return {std::move(built.model), std::move(transformer), std::move(encoder), std::move(options)};
}

TokenizerStep make_tokenizer_step(Fields& fields, const Common& common) {
  TokenizerStep::Options options;
  const uint64_t seed = common.trainer.seed;
  options.micro_batches = common.trainer.gradient_accumulation_steps;
  options.max_train_steps = common.trainer.max_train_steps;
  options.seed = seed;
  options.loss = parse_tokenizer_loss(fields.object("loss"));
  Fields dataset = fields.object("dataset");
  options.rows = dataset.integer("rows", 1, kMaxTokens, options.rows);
  options.resolution = dataset.integer("resolution", 1, kMaxSide, options.resolution);
  options.fit = fit_from_name(dataset.choice("fit", {"clip", "squash", "pad"}, "clip"));
  options.random_crop = dataset.boolean("random_crop", options.random_crop);
  options.flip = dataset.boolean("flip", options.flip);
  if (options.random_crop && options.fit != Fit::kClip)
    dataset.fail("random_crop", "true beside another fit", "fit \"clip\": the others leave nothing to cut");
  const Json& source = dataset.raw("source");
  if (!source.is_object()) dataset.fail("source", "no object", "a source such as {\"type\": \"shapes\"}");
  auto samples = make_source(source, "dataset.source", stream_key(seed, "data"));
  dataset.finish();
  Fields model = fields.object("model");
  fields.finish();
  return {build_image_tokenizer(model, common.load, seed), std::move(samples), options};
}

}  // namespace

TrainOutcome train(const Json& config, const std::string& source, const TrainHooks& hooks) {
  Fields fields(config, source);
  const std::string task = fields.choice("task", {"transformer", "image_tokenizer", "text_tokenizer"});
  const ProcessEnvironment environment = process_environment();
  MMADA_CHECK(task == "transformer" || environment.world_size == 1, source, ": field `task`: found \"", task,
              "\" in ", environment.world_size, " processes, expected one: only \"transformer\" takes more");
  if (task == "text_tokenizer")
    return {.step = 0, .checkpoint = train_text_tokenizer(fields, config, hooks.log), .stopped = false};
  Common common = parse_common(fields, config);
  if (task == "transformer") {
    const Group group = Group::connect(environment, {.timeout = common.timeout});
    SftStep step = make_sft_step(fields, source, common, group);
    return Trainer(step, std::move(common.trainer), hooks).run();
  }
  TokenizerStep step = make_tokenizer_step(fields, common);
  return Trainer(step, std::move(common.trainer), hooks).run();
}

}  // namespace mmada
