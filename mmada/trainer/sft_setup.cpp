// SPDX-License-Identifier: MIT
#include "mmada/trainer/sft_setup.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>

#include <cstdio>
#include <fstream>
#include <optional>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/text/chat.h"

namespace mmada {
namespace {

constexpr int64_t kMaxTokens = 1 << 20, kMaxSide = 1 << 14;

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
  pictures.options.cached_codes = fields.string("cached_codes", "");
  fields.finish();
  return pictures;
}

struct Sharding {
  ShardPolicy policy;
  Recompute recompute = Recompute::kNothing;
};

Sharding parse_sharding(Fields fields, const LoadOptions& load, const AdamWOptions& optimizer) {
  Sharding sharding;
  ShardPolicy& policy = sharding.policy;
  policy.release = fields.integer("zero", 2, 3, 3) == 3;
  policy.prefetch = fields.boolean("prefetch", policy.prefetch);
  policy.compute = scalar_type_from_name(load.dtype);
  policy.reduce = scalar_type_from_name(fields.choice("reduce_dtype", {"fp32", "bf16"}, "fp32"));
  policy.device = device_from_name(load.device);
  if (optimizer.moments_8bit) policy.alignment = kMomentBlock;
  const std::string recompute = fields.choice("recompute", {"none", "norms_and_swiglu", "blocks"}, "none");
  sharding.recompute = recompute == "none"     ? Recompute::kNothing
                       : recompute == "blocks" ? Recompute::kBlocks
                                               : Recompute::kNormsAndSwiglu;
  fields.finish();
  return sharding;
}

/// Bytes that the device has left; none where that is not known.
std::optional<int64_t> available_bytes(at::Device device) {
  if (!device.is_cpu())
    return static_cast<int64_t>(at::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).first);
  std::ifstream memory("/proc/meminfo");
  for (std::string line; std::getline(memory, line);)
    if (line.starts_with("MemAvailable:")) return std::stoll(line.substr(13)) * 1024;
  return std::nullopt;
}

std::string gigabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

/// Gives validation's pictures the training's sizes, and refuses what could not be drawn or asked.
void complete_validation(const Model& model, const SampleEncoder& encoder, int64_t text_budget,
                         int64_t longest, const std::string& source, ValidationOptions* validation) {
  if (validation->every == 0) return;
  const auto check_question = [&](const std::string& question, int64_t before, int64_t answer) {
    const auto prompt = std::ssize(model.tokenizer->encode(apply_chat_template({{"user", question}})));
    MMADA_CHECK(before + prompt + answer <= longest, source, ": field `validation`: found ", quote(question),
                ", a prompt of ", before + prompt, " tokens with an answer of ", answer,
                ", expected at most the model's max_sequence_length ", longest);
  };
  for (const std::string& chat : validation->chats) check_question(chat, 0, validation->chat.gen_length);
  if (!validation->needs_pictures()) return;
  MMADA_CHECK(
      encoder.image_tokenizer() != nullptr, source,
      ": field `image_tokenizer.from`: found nothing, expected an image tokenizer for the pictures of "
      "`validation`");
  const SampleEncoder::Options& options = encoder.options();
  ImageOptions& pictures = validation->pictures;
  pictures.rows = pictures.columns = options.resolution / encoder.image_tokenizer()->config().factor();
  pictures.max_text_length = text_budget;
  pictures.fit = fit_name(options.fit);
  for (const auto& question : validation->questions)
    check_question(question.text, encoder.image_tokens() + 3, validation->answers.gen_length);
  for (const std::string& prompt : validation->prompts) {
    const auto tokens = static_cast<int64_t>(model.tokenizer->encode(prompt).size()) + 2;
    MMADA_CHECK(tokens <= text_budget, source, ": field `validation.prompts`: found ", quote(prompt), " of ",
                tokens, " tokens with bos and eos, expected at most max_seq_length ", text_budget);
  }
}

}  // namespace

SftSetup set_up_sft(Fields& fields, const std::string& source, const TrainerOptions& trainer,
                    const LoadOptions& load) {
  SftStep::Options options;
  const uint64_t seed = trainer.seed;
  options.micro_batches = trainer.gradient_accumulation_steps;
  options.rows.seed = seed;
  options.rows.compat = parse_loss_compat(fields.object("loss"));
  Fields dataset = fields.object("dataset");
  options.flows = FlowPlan(dataset, source);
  options.rows.text_budget = dataset.integer("max_seq_length", 2, kMaxTokens);
  options.rows.stratified_times = dataset.boolean("stratified_times", true);
  options.rows.identical_rank_streams = dataset.boolean("identical_rank_streams", false);
  options.rows.packed = dataset.boolean("packed", false);
  options.rows.supervised_eos_tail =
      dataset.integer("supervised_eos_tail", -1, kMaxTokens, options.rows.packed ? 0 : -1);
  const Pictures pictures = parse_pictures(fields.object("image_tokenizer"));
  options.rows.attention_mode =
      attention_mode_from_name(fields.choice("attention_mode", {"hard", "none", "additive_one"}, "hard"));
  if (options.rows.packed || options.rows.supervised_eos_tail >= 0)
    if (options.rows.attention_mode != AttentionMode::kHard)
      dataset.fail(options.rows.packed ? "packed" : "supervised_eos_tail",
                   "padding left out under attention that sees it", "attention_mode \"hard\"");
  dataset.finish();
  Fields gate = fields.object("condition_gate");
  options.gate.rows = gate.integer("rows", 2, kMaxTokens, options.gate.rows);
  gate.finish();
  options.validation = parse_validation(fields.object("validation"));
  const auto [policy, recompute] = parse_sharding(fields.object("sharding"), load, trainer.optimizer);
  Fields model = fields.object("model");
  const bool adapts = fields.has("lora");
  Fields lora = fields.object("lora");
  fields.finish();
  if (adapts && recompute == Recompute::kNormsAndSwiglu)
    fields.fail("sharding.recompute", "\"norms_and_swiglu\" beside \"lora\"", "\"none\" or \"blocks\"");

  std::shared_ptr<const Magvit2> images;
  if (!pictures.path.empty())
    images = std::make_shared<const Magvit2>(
        load_image_tokenizer(pictures.path, {.device = load.device, .dtype = ""}));
  BuiltModel built = build_model(model, images == nullptr ? 0 : images->config().codebook_size(), seed);
  options.tokenizer_source = built.tokenizer_source;
  options.weights = at::TensorOptions(policy.device).dtype(policy.compute);
  options.rows.layout = built.model.layout;
  SampleEncoder encoder(built.model.tokenizer, images, built.model.layout, pictures.options);
  options.rows.image_tokens = encoder.image_tokens();
  complete_validation(built.model, encoder, options.rows.text_budget, built.sizes.max_sequence_length, source,
                      &options.validation);
  options.rows.assistant = built.model.tokenizer->encode("assistant");
  const TransformerConfig sizes = built.sizes;
  return {.options = std::move(options),
          .built = std::move(built),
          .encoder = std::move(encoder),
          .policy = policy,
          .recompute = recompute,
          .lora = adapts ? std::optional(parse_lora(lora, sizes, seed)) : std::nullopt,
          .averaged_weights = trainer.optimizer.ema_decay > 0,
          .moments_8bit = trainer.optimizer.moments_8bit};
}

SftStep make_sft_step(SftSetup setup, Group group) {
  auto transformer = std::make_unique<ShardedTransformer>(setup.built.sizes, std::move(group), setup.policy,
                                                          setup.recompute, setup.built.fill, setup.lora);
  return {std::move(setup.built.model), std::move(transformer), std::move(setup.encoder),
          std::move(setup.options)};
}

RunShape run_shape(const SftSetup& setup, int64_t processes) {
  RunShape most;
  for (const auto& phase : setup.options.flows.all()) {
    const RunShape run{.model = setup.built.sizes,
                       .processes = processes,
                       .policy = setup.policy,
                       .recompute = setup.recompute,
                       .lora = setup.lora,
                       .averaged_weights = setup.averaged_weights,
                       .moments_8bit = setup.moments_8bit,
                       .micro_batches = setup.options.micro_batches,
                       .passes = pass_shapes(phase, setup.options.rows, processes)};
    if (most.passes.empty() || memory_plan(run).total() > memory_plan(most).total()) most = run;
  }
  return most;
}

void check_room(const SftSetup& setup, const ProcessEnvironment& environment, const std::string& source) {
  const auto available = available_bytes(setup.policy.device);
  if (!available) return;
  const MemoryPlan plan = memory_plan(run_shape(setup, environment.world_size));
  const int64_t here = setup.policy.device.is_cpu() ? environment.local_size : 1;
  MMADA_CHECK(plan.total() * here <= *available, source, ": found ", gigabytes(*available),
              " of memory left, expected ", gigabytes(plan.total() * here), ": each process needs ",
              gigabytes(plan.parameters), " for parameters, ", gigabytes(plan.gradients), " for gradients, ",
              gigabytes(plan.optimizer), " for the optimizer and ",
              gigabytes(plan.activations + plan.working), " for activations; --force tries all the same");
}

}  // namespace mmada
