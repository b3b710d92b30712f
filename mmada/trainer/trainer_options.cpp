// SPDX-License-Identifier: MIT
#include "mmada/trainer/trainer_options.h"

namespace mmada {

namespace {
constexpr int64_t kMaxSteps = int64_t{1} << 40;
}  // namespace

TrainerOptions parse_trainer_options(Fields& config, const Json& resolved) {
  TrainerOptions options;
  Fields experiment = config.object("experiment");
  options.output_dir = experiment.string("output_dir");
  options.save_every = experiment.integer("save_every", 0, kMaxSteps, 0);
  options.log_every = experiment.integer("log_every", 1, kMaxSteps, options.log_every);
  options.evaluate_every = experiment.integer("evaluate_every", 0, kMaxSteps, 0);
  options.evaluate_first = experiment.boolean("evaluate_first", false);
  options.checkpoints_total_limit = experiment.integer("checkpoints_total_limit", 0, 1 << 20, 0);
  options.async_save = experiment.boolean("async_save", options.async_save);
  options.resume_from_checkpoint =
      experiment.string("resume_from_checkpoint", options.resume_from_checkpoint);
  options.allow_partial = experiment.boolean("allow_partial", options.allow_partial);
  options.tensorboard = experiment.boolean("tensorboard", options.tensorboard);
  if (options.checkpoints_total_limit == 1)
    experiment.fail("checkpoints_total_limit", "1", "0 (all) or at least 2: one may turn out damaged");
  experiment.finish();
  Fields training = config.object("training");
  options.max_train_steps = training.integer("max_train_steps", 1, kMaxSteps);
  options.max_grad_norm = training.number("max_grad_norm", 0.0, 1e9, options.max_grad_norm);
  options.gradient_accumulation_steps = training.integer("gradient_accumulation_steps", 1, 1 << 20, 1);
  options.max_skipped_steps = training.integer("max_skipped_steps", 0, kMaxSteps, options.max_skipped_steps);
  options.seed = static_cast<uint64_t>(training.integer("seed", 0, INT64_MAX, 10086));
  options.peak_flops = training.number("peak_flops", 0.0, 1e18, 0.0);
  training.finish();
  options.optimizer = parse_adamw(config.object("optimizer"));
  options.lr_scheduler = parse_lr_schedule(config.object("lr_scheduler"), options.max_train_steps);
  options.config = resolved;
  return options;
}

}  // namespace mmada
