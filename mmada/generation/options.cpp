// SPDX-License-Identifier: MIT
#include "mmada/generation/options.h"

#include <filesystem>
#include <limits>

#include "mmada/core/check.h"
#include "mmada/diffusion/schedule.h"
#include "mmada/generation/sampler_files.h"

namespace mmada {
namespace {

constexpr int64_t kMaxTokens =
    1 << 20;  // far above any max_sequence_length: catches slips such as a seed in its place
constexpr double kMaxScale = 1000.0;

const std::vector<std::string> kRemaskings = {"low_confidence", "low_confidence_static", "random",
                                              "low_confidence_dynamic"};
const std::vector<std::string> kConfidences = {"confidence", "margin_confidence", "neg_entropy", "random"};

const std::vector<std::string> kFits = {"clip", "squash", "pad"};

void require(bool condition, const std::string& message) {
  if (!condition) throw UsageError(message);
}

template <class T>
void require_range(const char* name, T value, T low, T high) {
  require(value >= low && value <= high, cat(name, ": found ", value, ", expected ", low, " to ", high));
}

void require_choice(const char* name, const std::string& value, const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& known : names) {
    if (known == value) return;
    list += (list.empty() ? "" : ", ") + known;
  }
  throw UsageError(cat(name, ": found \"", value, "\", expected one of ", list));
}

}  // namespace

void validate(const TextOptions& o) {
  require_range<int64_t>("gen-length", o.gen_length, 1, kMaxTokens);
  require_range<int64_t>("block-length", o.block_length, 1, kMaxTokens);
  require_range<int64_t>("steps", o.steps, 1, kMaxTokens);
  require_range("temperature", o.temperature, 0.0, kMaxScale);
  require_range("cfg-scale", o.cfg_scale, 0.0, kMaxScale);
  require_range("threshold", o.threshold, 0.0, 1.0);
  require_range<int64_t>("top-k", o.top_k, 0, std::numeric_limits<int32_t>::max());
  require_range("top-p", o.top_p, 0.0, 1.0);
  require_choice("remasking", o.remasking, kRemaskings);
  require_choice("confidence", o.confidence, kConfidences);
  require_choice("fit", o.fit, kFits);
}

void validate(const ImageOptions& o) {
  require_range<int64_t>("steps", o.steps, 1, kMaxTokens);
  require_range("guidance-scale", o.guidance_scale, 0.0, kMaxScale);
  require_range("temperature", o.temperature, 0.0, kMaxScale);
  require_range("token-temperature", o.token_temperature, 0.0, kMaxScale);
  require_range<int64_t>("grid rows", o.rows, 0, kMaxTokens);
  require_range<int64_t>("grid columns", o.columns, 0, kMaxTokens);
  require((o.rows == 0) == (o.columns == 0),
          cat("grid: found ", o.rows, "x", o.columns, ", expected both sides or neither"));
  require_choice("fit", o.fit, kFits);
  require_range<int64_t>("max-text-length", o.max_text_length, 0, kMaxTokens);
  try {
    Schedule{o.schedule};
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

TextOptions text_options_from_json(const Json& json, const std::string& source, TextOptions o) {
  Fields fields(json, source);
  fields.choice("task", {"text"});
  o.gen_length = fields.integer("gen_length", 1, kMaxTokens, o.gen_length);
  o.block_length = fields.integer("block_length", 1, kMaxTokens, o.block_length);
  o.steps = fields.integer("steps", 1, kMaxTokens, o.steps);
  o.temperature = fields.number("temperature", 0, kMaxScale, o.temperature);
  o.cfg_scale = fields.number("cfg_scale", 0, kMaxScale, o.cfg_scale);
  o.remasking = fields.choice("remasking", kRemaskings, o.remasking);
  o.confidence = fields.choice("confidence", kConfidences, o.confidence);
  o.threshold = fields.number("threshold", 0, 1, o.threshold);
  o.top_k = fields.integer("top_k", 0, std::numeric_limits<int32_t>::max(), o.top_k);
  o.top_p = fields.number("top_p", 0, 1, o.top_p);
  o.logits_eos_inf = fields.boolean("logits_eos_inf", o.logits_eos_inf);
  o.confidence_eos_eot_inf = fields.boolean("confidence_eos_eot_inf", o.confidence_eos_eot_inf);
  o.early_stop = fields.boolean("early_stop", o.early_stop);
  o.think = fields.boolean("think", o.think);
  fields.finish();
  return o;
}

ImageOptions image_options_from_json(const Json& json, const std::string& source, ImageOptions o) {
  Fields fields(json, source);
  fields.choice("task", {"image"});
  o.steps = fields.integer("steps", 1, kMaxTokens, o.steps);
  o.guidance_scale = fields.number("guidance_scale", 0, kMaxScale, o.guidance_scale);
  o.temperature = fields.number("temperature", 0, kMaxScale, o.temperature);
  o.token_temperature = fields.number("token_temperature", 0, kMaxScale, o.token_temperature);
  o.schedule = fields.string("schedule", o.schedule);
  const auto grid = fields.integers("grid", 1, kMaxTokens, std::vector<int64_t>{});
  if (fields.has("grid") && grid.size() != 2)
    fields.fail("grid", cat(grid.size(), " numbers"), "[rows, columns]");
  if (grid.size() == 2) o.rows = grid[0], o.columns = grid[1];
  o.max_text_length = fields.integer("max_text_length", 0, kMaxTokens, o.max_text_length);
  fields.finish();
  return o;
}

std::vector<std::string> sampler_names() {
  std::vector<std::string> names;
  for (const SamplerFile& file : kSamplerFiles) names.emplace_back(file.name);
  return names;
}

Json load_sampler(const std::string& file_or_name) {
  const JsonLimits limits{.max_bytes = 1u << 20, .max_depth = 8, .comments = true};
  for (const SamplerFile& file : kSamplerFiles)
    if (file_or_name == file.name) return parse_json(file.text, "sampler " + file_or_name, limits);
  if (std::filesystem::exists(file_or_name)) return read_json_file(file_or_name, limits);
  std::string list;
  for (const std::string& name : sampler_names()) list += (list.empty() ? "" : ", ") + name;
  throw UsageError(cat("sampler: found \"", file_or_name, "\", expected a file or one of ", list));
}

}  // namespace mmada
