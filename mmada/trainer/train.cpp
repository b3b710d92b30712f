// SPDX-License-Identifier: MIT
#include "mmada/trainer/train.h"

#include <ATen/Parallel.h>

#include <chrono>
#include <memory>
#include <set>

#include "mmada/core/check.h"
#include "mmada/data/source.h"
#include "mmada/distributed/environment.h"
#include "mmada/trainer/build_model.h"
#include "mmada/trainer/sft_setup.h"
#include "mmada/trainer/text_tokenizer.h"
#include "mmada/trainer/tokenizer_step.h"
#include "mmada/trainer/unigrpo/unigrpo_setup.h"
#include "mmada/trainer/utilization.h"

namespace mmada {
namespace {

constexpr int64_t kMaxTokens = 1 << 20, kMaxSide = 1 << 14;
const std::vector<std::string> kTasks = {"transformer", "unigrpo", "image_tokenizer", "text_tokenizer"};

struct Common {
  TrainerOptions trainer;
  LoadOptions load;
  GroupOptions processes;
};

/// A process among several of a machine takes the GPU of its own number.
std::string own_device(const std::string& device, const ProcessEnvironment& environment) {
  return device == "cuda" ? cat("cuda:", environment.local_rank) : device;
}

Common parse_common(Fields& fields, const Json& config) {
  Common common;
  common.trainer = parse_trainer_options(fields, config);
  common.load.device = fields.string("device", "cpu");
  common.load.dtype = fields.choice("dtype", {"fp32", "bf16", "fp16"}, "fp32");
  const int64_t threads = fields.integer("threads", 0, 4096, 0);
  if (threads > 0) at::set_num_threads(static_cast<int>(threads));
  common.processes.timeout = std::chrono::seconds(fields.integer("process_timeout_seconds", 1, 1 << 20, 300));
  common.trainer.step_timeout = std::chrono::seconds(fields.integer("step_timeout_seconds", 1, 1 << 20, 100));
  common.processes.heartbeat = std::chrono::seconds(fields.integer("heartbeat_seconds", 0, 1 << 20, 5));
  return common;
}

TokenizerStep make_tokenizer_step(Fields& fields, const Common& common) {
  TokenizerStep::Options options;
  const uint64_t seed = common.trainer.seed;
  options.micro_batches = common.trainer.gradient_accumulation_steps;
  options.max_train_steps = common.trainer.max_train_steps;
  options.loss = parse_tokenizer_loss(fields.object("loss"));
  Fields dataset = fields.object("dataset");
  TrainingPictures::Options& pictures = options.pictures;
  pictures.seed = seed;
  pictures.batches = options.max_train_steps * options.micro_batches;
  pictures.rows = dataset.integer("rows", 1, kMaxTokens, pictures.rows);
  pictures.resolution = dataset.integer("resolution", 1, kMaxSide, pictures.resolution);
  pictures.fit = fit_from_name(dataset.choice("fit", {"clip", "squash", "pad"}, "clip"));
  pictures.random_crop = dataset.boolean("random_crop", pictures.random_crop);
  pictures.flip = dataset.boolean("flip", pictures.flip);
  if (pictures.random_crop && pictures.fit != Fit::kClip)
    dataset.fail("random_crop", "true beside another fit", "fit \"clip\": the others leave nothing to cut");
  const Json& source = dataset.raw("source");
  if (!source.is_object()) dataset.fail("source", "no object", "a source such as {\"type\": \"shapes\"}");
  auto samples = make_source(source, "dataset.source", stream_key(seed, "data"));
  dataset.finish();
  Fields model = fields.object("model");
  fields.finish();
  return {build_image_tokenizer(model, common.load, seed), std::move(samples), options};
}

/// Trains what a setup describes, by the step that `make` makes of it.
template <class Setup, class Make>
TrainOutcome train_in_shards(Setup setup, const Make& make, Common common, const std::string& source,
                             const ProcessEnvironment& environment, const TrainHooks& hooks) {
  setup.transformer.encoder.log_to(hooks.log);
  if (!hooks.force) check_room(run_shape(setup, environment.world_size), environment, source);
  auto step = make(std::move(setup), Group::connect(environment, common.processes));
  return Trainer(step, std::move(common.trainer), hooks).run();
}

}  // namespace

TrainingPlan plan_training(const Json& config, const std::string& source, int64_t processes) {
  Fields fields(config, source);
  const std::string task = fields.choice("task", kTasks);
  MMADA_CHECK(task == "transformer" || task == "unigrpo", source, ": field `task`: found \"", task,
              "\", expected \"transformer\" or \"unigrpo\", whose memory is planned");
  Common common = parse_common(fields, config);
  const bool on_host = common.load.device == "cpu";
  common.load.device = "cpu";  // what is planned needs not to be here
  TrainingPlan plan;
  if (task == "unigrpo") {
    const UniGrpoSetup setup = set_up_unigrpo(fields, source, common.trainer, common.load);
    PromptSources(setup.options.phase.streams, 0, "dataset.prompts");
    PromptSources(setup.options.evaluation.streams, 0, "evaluation.prompts");
    plan.run = run_shape(setup, processes);
    plan.run.reference_here = plan.run.reference && (on_host || !setup.options.offload_reference);
  } else {
    const SftSetup setup = set_up_sft(fields, source, common.trainer, common.load);
    for (const auto& phase : setup.options.batches.flows.all())
      for (const FlowConfig& flow : phase)
        make_source(flow.source, "dataset.flows." + flow.name + ".source", 0);
    plan.run = run_shape(setup, processes);
  }
  plan.memory = memory_plan(plan.run);
  plan.work = work_plan(plan.run);
  plan.prediction = predict_speed(plan.run);
  plan.program_bytes = on_host ? peak_memory_bytes(at::kCPU) : 0;
  return plan;
}

int64_t encode_pictures(const Json& config, const std::string& source, int64_t count, int64_t part,
                        int64_t parts, std::ostream* log) {
  constexpr int64_t kTogether = 32;
  Fields fields(config, source);
  fields.choice("task", {"transformer"});
  const Common common = parse_common(fields, config);
  SftSetup setup = set_up_sft(fields, source, common.trainer, common.load);
  MMADA_CHECK(!setup.transformer.encoder.options().cached_codes.empty(), source,
              ": field `image_tokenizer.cached_codes`: found nothing, expected the folder to fill");
  setup.transformer.encoder.log_to(log);
  std::set<std::string> passed;  // phases share sources
  int64_t pictures = 0;
  for (const auto& phase : setup.options.batches.flows.all())
    for (const FlowConfig& flow : phase) {
      const bool shows =
          flow.kind == FlowKind::kT2i || flow.kind == FlowKind::kMmu || flow.kind == FlowKind::kR2i;
      const int64_t rows = flow.rows * setup.options.batches.micro_batches;
      if (!shows || rows == 0 || !passed.insert(flow.source_key).second) continue;
      const auto samples = make_source(flow.source, "dataset.flows." + flow.name + ".source",
                                       stream_key(common.trainer.seed, "data/" + flow.source_key));
      const int64_t all = count > 0 ? count : rows * common.trainer.max_train_steps;
      samples->skip(part);
      std::vector<Sample> together;
      for (int64_t i = part; i < all; i += parts) {
        together.push_back(samples->next());
        samples->skip(parts - 1);
        pictures += together.back().image.pixels.empty() ? 0 : 1;
        if (std::ssize(together) < kTogether && i + parts < all) continue;
        setup.transformer.encoder.encode(together);
        together.clear();
      }
    }
  return pictures;
}

TrainOutcome train(const Json& config, const std::string& source, const TrainHooks& hooks) {
  Fields fields(config, source);
  const std::string task = fields.choice("task", kTasks);
  const ProcessEnvironment environment = process_environment();
  const bool shards = task == "transformer" || task == "unigrpo";
  MMADA_CHECK(shards || environment.world_size == 1, source, ": field `task`: found \"", task, "\" in ",
              environment.world_size,
              " processes, expected one: only \"transformer\" and \"unigrpo\" take more");
  if (task == "text_tokenizer")
    return {.step = 0, .checkpoint = train_text_tokenizer(fields, config, hooks.log), .stopped = false};
  Common common = parse_common(fields, config);
  if (shards) {
    common.load.device = own_device(common.load.device, environment);
    common.processes.device = device_from_name(common.load.device);
    if (common.processes.heartbeat.count() > 0) common.processes.lost = hooks.lost;
  }
  if (task == "unigrpo")
    return train_in_shards(set_up_unigrpo(fields, source, common.trainer, common.load), make_unigrpo_step,
                           common, source, environment, hooks);
  if (task == "transformer")
    return train_in_shards(set_up_sft(fields, source, common.trainer, common.load), make_sft_step, common,
                           source, environment, hooks);
  TokenizerStep step = make_tokenizer_step(fields, common);
  return Trainer(step, std::move(common.trainer), hooks).run();
}

}  // namespace mmada
