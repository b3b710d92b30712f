// SPDX-License-Identifier: MIT
#include "mmada/trainer/build_model.h"

#include <ATen/ATen.h>

#include <map>
#include <memory>

#include "mmada/core/check.h"
#include "mmada/model/config.h"
#include "mmada/model/initialize.h"
#include "mmada/model/open_checkpoint.h"

namespace mmada {
namespace {

/// An object written in place, or the content of the file that a string names.
Json object_or_file(Fields& fields, const std::string& key) {
  const Json& value = fields.raw(key);
  if (value.is_string()) return read_json_file(value.get<std::string>(), {.comments = true});
  if (!value.is_object()) fields.fail(key, "nothing", "an object, the path of one, or \"from\" instead");
  return value;
}

InitOptions parse_init(Fields fields, uint64_t seed) {
  InitOptions init;
  init.method = fields.choice("method", {"mitchell", "full_megatron", "normal", "kaiming_normal", "fan_in"},
                              init.method);
  init.init_std = fields.number("init_std", 0.0, 10.0, init.init_std);
  init.embedding_std = fields.number("embedding_std", 0.0, 10.0, init.embedding_std);
  init.zero_output_projections = fields.boolean("zero_output_projections", init.zero_output_projections);
  init.seed = static_cast<uint64_t>(fields.integer("seed", 0, INT64_MAX, static_cast<int64_t>(seed)));
  fields.finish();
  return init;
}

at::ScalarType fresh_type(const LoadOptions& load) {
  return scalar_type_from_name(load.dtype.empty() ? "fp32" : load.dtype);
}

/// Sizes, ids and configuration of a network that nobody has trained.
void describe_fresh_model(Json architecture, int64_t codebook_size, BuiltModel* built) {
  const auto& tokenizer = built->model.tokenizer;
  if (!architecture.contains("vocab_size")) architecture["vocab_size"] = tokenizer->size() + codebook_size;
  if (!architecture.contains("codebook_size") && codebook_size > 0)
    architecture["codebook_size"] = codebook_size;
  built->sizes = parse_transformer_config(architecture, "model.architecture");
  Json config = transformer_config_json(built->sizes);
  for (const auto& [key, value] : architecture.items()) config[key] = value;
  const TokenLayout layout = make_token_layout(config, tokenizer.get(), "model.architecture");
  config["mask_token_id"] = layout.mask;
  config["eos_token_id"] = layout.eos;
  config["pad_token_id"] = layout.eos;
  if (layout.has_images()) config["image_token_offset"] = layout.image_token_offset;
  built->model.layout = layout;
  built->model.config = config;
}

ShardedModel::Fill fresh_weights(const TransformerConfig& sizes, const InitOptions& init) {
  std::map<std::string, ParameterKind> kinds;
  const Transformer shapes(sizes, at::TensorOptions(at::kMeta).dtype(at::kFloat));
  for (const NamedParameter& parameter : shapes.parameters()) kinds[parameter.name] = parameter.kind;
  return [=](const std::string& name, const at::Tensor& tensor) {
    initialize({name, tensor, kinds.at(name)}, sizes, init);
  };
}

BuiltModel continued_model(const std::string& directory) {
  OpenCheckpoint open = open_checkpoint(directory);
  const auto reader = std::make_shared<const CheckpointReader>(std::move(open.reader));
  return {.model = {.transformer = {},
                    .tokenizer = std::move(open.tokenizer),
                    .layout = open.layout,
                    .config = std::move(open.json),
                    .source = directory},
          .sizes = open.config,
          .fill =
              [reader](const std::string& name, const at::Tensor& tensor) {
                reader->read({{name, tensor}});
              },
          .tokenizer_source = directory};
}

}  // namespace

BuiltModel build_model(Fields fields, int64_t codebook_size, uint64_t seed) {
  BuiltModel built;
  if (fields.has("from")) {
    built = continued_model(fields.string("from"));
    for (const char* unused : {"architecture", "tokenizer", "init"})
      if (fields.has(unused)) fields.fail(unused, "a value", "none beside \"from\"");
  } else {
    Json architecture = object_or_file(fields, "architecture");
    built.tokenizer_source = fields.string("tokenizer");
    const InitOptions init = parse_init(fields.object("init"), seed);
    built.model.tokenizer = load_tokenizer(built.tokenizer_source);
    describe_fresh_model(std::move(architecture), codebook_size, &built);
    built.fill = fresh_weights(built.sizes, init);
  }
  fields.finish();
  return built;
}

Magvit2 build_image_tokenizer(Fields fields, const LoadOptions& load, uint64_t seed) {
  if (fields.has("from")) {
    const std::string from = fields.string("from");
    fields.finish();
    return load_image_tokenizer(from, load);
  }
  const Magvit2Config config =
      parse_magvit2_config(object_or_file(fields, "architecture"), "model.architecture");
  const auto init_seed = fields.integer("init_seed", 0, INT64_MAX, static_cast<int64_t>(seed));
  fields.finish();
  Magvit2 model(config, at::TensorOptions(device_from_name(load.device)).dtype(fresh_type(load)));
  initialize(model, static_cast<uint64_t>(init_seed));
  return model;
}

}  // namespace mmada
