// SPDX-License-Identifier: MIT
#include "mmada/trainer/transformer_setup.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>

#include <cstdio>
#include <fstream>

#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr int64_t kMaxSide = 1 << 14;

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

}  // namespace

TransformerFields::TransformerFields(Fields& config, const TrainerOptions& trainer, const LoadOptions& load)
    : optimizer_(trainer.optimizer),
      load_(load),
      seed_(trainer.seed),
      pictures_(parse_pictures(config.object("image_tokenizer"))),
      model_(config.object("model")) {
  parse_sharding(config.object("sharding"));
  if (config.has("lora")) lora_ = config.object("lora");
  if (lora_ && recompute_ == Recompute::kNormsAndSwiglu)
    config.fail("sharding.recompute", "\"norms_and_swiglu\" beside \"lora\"", "\"none\" or \"blocks\"");
}

TransformerFields::Pictures TransformerFields::parse_pictures(Fields fields) {
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

void TransformerFields::parse_sharding(Fields fields) {
  policy_.release = fields.integer("zero", 2, 3, 3) == 3;
  policy_.prefetch = fields.boolean("prefetch", policy_.prefetch);
  policy_.compute = scalar_type_from_name(load_.dtype);
  policy_.reduce = scalar_type_from_name(fields.choice("reduce_dtype", {"fp32", "bf16"}, "fp32"));
  policy_.device = device_from_name(load_.device);
  if (optimizer_.moments_8bit) policy_.alignment = kMomentBlock;
  const std::string recompute = fields.choice("recompute", {"none", "norms_and_swiglu", "blocks"}, "none");
  recompute_ = recompute == "none"     ? Recompute::kNothing
               : recompute == "blocks" ? Recompute::kBlocks
                                       : Recompute::kNormsAndSwiglu;
  fields.finish();
}

TransformerSetup TransformerFields::load() {
  std::shared_ptr<const Magvit2> images;
  if (!pictures_.path.empty())
    images = std::make_shared<const Magvit2>(
        load_image_tokenizer(pictures_.path, {.device = load_.device, .dtype = ""}));
  BuiltModel built = build_model(model_, images == nullptr ? 0 : images->config().codebook_size(), seed_);
  SampleEncoder encoder(built.model.tokenizer, images, built.model.layout, pictures_.options);
  const auto lora = lora_ ? std::optional(parse_lora(*lora_, built.sizes, seed_)) : std::nullopt;
  return {.built = std::move(built),
          .encoder = std::move(encoder),
          .policy = policy_,
          .recompute = recompute_,
          .lora = lora,
          .averaged_weights = optimizer_.ema_decay > 0,
          .moments_8bit = optimizer_.moments_8bit};
}

TransformerStep::Network make_network(TransformerSetup setup, Group group) {
  auto transformer = std::make_unique<ShardedTransformer>(setup.built.sizes, std::move(group), setup.policy,
                                                          setup.recompute, setup.built.fill, setup.lora);
  return {.model = std::move(setup.built.model),
          .transformer = std::move(transformer),
          .weights = at::TensorOptions(setup.policy.device).dtype(setup.policy.compute),
          .tokenizer_source = std::move(setup.built.tokenizer_source)};
}

RunShape run_shape(const TransformerSetup& setup, int64_t processes, int64_t micro_batches,
                   std::vector<PassShape> passes) {
  return {.model = setup.built.sizes,
          .processes = processes,
          .policy = setup.policy,
          .recompute = setup.recompute,
          .lora = setup.lora,
          .averaged_weights = setup.averaged_weights,
          .moments_8bit = setup.moments_8bit,
          .micro_batches = micro_batches,
          .passes = std::move(passes)};
}

void check_room(const RunShape& run, const ProcessEnvironment& environment, const std::string& source) {
  const auto available = available_bytes(run.policy.device);
  if (!available) return;
  const MemoryPlan plan = memory_plan(run);
  const int64_t here = run.policy.device.is_cpu() ? environment.local_size : 1;
  MMADA_CHECK(plan.total() * here <= *available, source, ": found ", gigabytes(*available),
              " of memory left, expected ", gigabytes(plan.total() * here), ": each process needs ",
              gigabytes(plan.parameters), " for parameters, ", gigabytes(plan.gradients), " for gradients, ",
              gigabytes(plan.optimizer), " for the optimizer and ",
              gigabytes(plan.activations + plan.working), " for activations; --force tries all the same");
}

}  // namespace mmada
