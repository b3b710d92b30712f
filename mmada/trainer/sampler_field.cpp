// SPDX-License-Identifier: MIT
#include "mmada/trainer/sampler_field.h"

#include "mmada/generation/text_canvas.h"

namespace mmada {
namespace {

Json sampler_of(Fields& fields, const std::string& key, const std::string& task) {
  const Json& value = fields.raw(key);
  if (value.is_null()) return {{"task", task}};
  if (value.is_string()) return load_sampler(value.get<std::string>());
  if (!value.is_object()) fields.fail(key, found_text(value), "a sampler's name or its fields");
  Json json = value;
  json["task"] = task;
  return json;
}

}  // namespace

TextOptions text_sampler(Fields& fields, const std::string& key, const std::string& path) {
  const TextOptions options = text_options_from_json(sampler_of(fields, key, "text"), path + "." + key);
  validate(options);
  text_blocks(TokenLayout{}, {0, options.gen_length}, options);  // whether lengths and steps divide
  return options;
}

ImageOptions image_sampler(Fields& fields, const std::string& key, const std::string& path) {
  const ImageOptions options = image_options_from_json(sampler_of(fields, key, "image"), path + "." + key);
  validate(options);
  return options;
}

}  // namespace mmada
