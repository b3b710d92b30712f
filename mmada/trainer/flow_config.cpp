// SPDX-License-Identifier: MIT
#include "mmada/trainer/flow_config.h"

#include <algorithm>
#include <limits>
#include <set>

#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr int64_t kMaxRows = 1 << 16, kMaxLength = 1 << 20;

FlowConfig parse_flow(const Json& json, const std::string& source, const std::string& path) {
  Fields fields(json, source, path);
  FlowConfig flow;
  flow.kind = flow_kind_from_name(fields.choice("flow", {"t2i", "lm", "lm_chat", "mmu", "r2i"}));
  flow.name = fields.string("name", std::string(flow_kind_name(flow.kind)));
  flow.rows = fields.integer("rows", 0, kMaxRows);
  flow.coefficient = fields.number("coefficient", 0.0, 1e6, 1.0);
  flow.length = fields.integer("length", 0, kMaxLength, 0);
  flow.cond_dropout_prob =
      fields.number("cond_dropout_prob", 0.0, 1.0, flow.kind == FlowKind::kT2i ? 0.1 : 0.0);
  flow.given_reasoning_prob = fields.number("given_reasoning_prob", 0.0, 1.0, 0.0);
  if (fields.has("masked_words")) flow.masked_words = fields.strings("masked_words");
  if (fields.has("unlearned_words")) flow.unlearned_words = fields.strings("unlearned_words");
  flow.image_noise.schedule = Schedule(fields.string("mask_schedule", "cosine"));
  flow.image_noise.time_exponent = fields.number("time_exponent", 1e-3, 1e3, 1.0);
  flow.image_noise.min_masking_rate = fields.number("min_masking_rate", 0.0, 1.0, 0.0);
  flow.image_noise.contiguous_probability = fields.number("mask_contiguous_region_prob", 0.0, 1.0, 0.0);
  flow.image_noise.grid_columns = fields.integer("grid_columns", 0, kMaxLength, 0);
  flow.image_noise.predict_all_tokens = fields.boolean("predict_all_tokens", false);
  flow.text_noise.floor = fields.number("noise_floor", 1e-6, 1.0, flow.text_noise.floor);
  flow.all_turns = fields.boolean("all_turns", false);
  flow.source = fields.raw("source");
  if (!flow.source.is_object()) fields.fail("source", "no object", "a source such as {\"type\": \"shapes\"}");
  if (flow.all_turns && flow.kind != FlowKind::kLmChat)
    fields.fail("all_turns", "true", "false unless flow is lm_chat");
  if (flow.cond_dropout_prob > 0 && flow.kind != FlowKind::kT2i)
    fields.fail("cond_dropout_prob", cat(flow.cond_dropout_prob), "0 unless flow is t2i");
  if (flow.given_reasoning_prob > 0 && flow.kind != FlowKind::kLmChat && flow.kind != FlowKind::kMmu)
    fields.fail("given_reasoning_prob", cat(flow.given_reasoning_prob), "0 unless flow is lm_chat or mmu");
  if (!flow.masked_words.empty() && flow.kind != FlowKind::kLmChat && flow.kind != FlowKind::kMmu)
    fields.fail("masked_words", "words", "none unless flow is lm_chat or mmu");
  if (!flow.unlearned_words.empty() && flow.kind != FlowKind::kLmChat && flow.kind != FlowKind::kMmu)
    fields.fail("unlearned_words", "words", "none unless flow is lm_chat or mmu");
  fields.finish();
  return flow;
}

std::string name_of(const Json& flow) {
  for (const char* key : {"name", "flow"})
    if (flow.is_object() && flow.contains(key) && flow[key].is_string()) return flow[key];
  return "";
}

std::vector<FlowConfig> parse_flows(const Json& flows, const std::string& source) {
  std::vector<FlowConfig> parsed;
  std::set<std::string> names;
  for (size_t i = 0; i < flows.size(); ++i) {
    parsed.push_back(parse_flow(flows[i], source, cat("dataset.flows.", i)));
    parsed.back().source_key = parsed.back().name;
    MMADA_CHECK(names.insert(parsed.back().name).second, source, ": field `dataset.flows.", i,
                "`: found a second flow named ", parsed.back().name, ", expected different names");
  }
  return parsed;
}

/// The flows with a phase's overrides written into them.
std::vector<FlowConfig> parse_phase(const Json& flows, const Json& overrides, size_t phase,
                                    const std::string& source) {
  Json changed = flows;
  std::set<std::string> own_source;
  for (const auto& [name, fields] : overrides.items()) {
    const auto flow = std::find_if(changed.begin(), changed.end(), [&, wanted = name](const Json& candidate) {
      return name_of(candidate) == wanted;
    });
    MMADA_CHECK(flow != changed.end() && fields.is_object(), source, ": field `dataset.phases.", phase,
                ".flows.", name, "`: expected an object under the name of one of the flows");
    for (const auto& [key, value] : fields.items()) (*flow)[key] = value;
    if (fields.contains("source")) own_source.insert(name);
  }
  std::vector<FlowConfig> parsed = parse_flows(changed, source);
  for (FlowConfig& flow : parsed)
    if (own_source.contains(flow.name)) flow.source_key = cat(flow.name, "/phase-", phase);
  return parsed;
}

}  // namespace

FlowPlan::FlowPlan(Fields& dataset, const std::string& source) {
  const Json& flows = dataset.raw("flows");
  if (!flows.is_array() || flows.empty()) dataset.fail("flows", "none", "a list of at least one flow");
  const Json& phases = dataset.raw("phases");
  if (!phases.is_null() && !phases.is_array()) dataset.fail("phases", "no list", "a list of phases");
  for (size_t i = 0; i < phases.size(); ++i) {
    Fields fields(phases[i], source, cat("dataset.phases.", i));
    const int64_t begin = until_.empty() ? 1 : until_.back() + 1;
    until_.push_back(fields.integer("until_step", begin, std::numeric_limits<int64_t>::max()));
    const Json& overrides = fields.raw("flows");
    if (!overrides.is_object()) fields.fail("flows", "no object", "an object of flow names");
    phases_.push_back(parse_phase(flows, overrides, i, source));
    fields.finish();
  }
  phases_.push_back(parse_flows(flows, source));
}

const std::vector<FlowConfig>& FlowPlan::at(int64_t step) const {
  const auto phase = std::upper_bound(until_.begin(), until_.end(), step) - until_.begin();
  return phases_[phase];
}

}  // namespace mmada
