// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/phase.h"

#include <ATen/ATen.h>

#include <cstring>

#include "mmada/core/base64.h"
#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr int64_t kMost = int64_t{1} << 40;

Json tensor_json(const at::Tensor& x) {
  const at::Tensor host = x.cpu().contiguous();
  return {{"dtype", host.scalar_type() == at::kDouble ? "fp64" : "fp32"},
          {"values", encode_base64({static_cast<const char*>(host.const_data_ptr()), host.nbytes()})}};
}

at::Tensor parse_tensor(const Json& json, const std::string& source, const std::string& path) {
  Fields fields(json, source, path);
  const auto type = fields.choice("dtype", {"fp32", "fp64"}) == "fp64" ? at::kDouble : at::kFloat;
  const std::string bytes = decode_base64(fields.string("values"));
  const size_t width = type == at::kDouble ? sizeof(double) : sizeof(float);
  if (bytes.size() % width != 0)
    fields.fail("values", cat(bytes.size(), " bytes"), cat("a multiple of ", width));
  fields.finish();
  const at::Tensor x = at::empty({static_cast<int64_t>(bytes.size() / width)}, type);
  std::memcpy(x.mutable_data_ptr(), bytes.data(), bytes.size());
  return x;
}

Json tensors_json(const std::vector<at::Tensor>& tensors) {
  Json list = Json::array();
  for (const at::Tensor& tensor : tensors) list.push_back(tensor_json(tensor));
  return list;
}

const Json& list_of(Fields& fields, const std::string& key) {
  const Json& list = fields.raw(key);
  if (!list.is_array()) fields.fail(key, found_text(list), "a list");
  return list;
}

std::vector<at::Tensor> parse_tensors(Fields& fields, const std::string& key, const std::string& source,
                                      const std::string& path) {
  std::vector<at::Tensor> tensors;
  const Json& list = list_of(fields, key);
  for (size_t i = 0; i < list.size(); ++i)
    tensors.push_back(parse_tensor(list[i], source, cat(path, ".", key, "[", i, "]")));
  return tensors;
}

}  // namespace

Json response_json(const Response& response) {
  return {{"ids", response.ids},     {"tokens", response.tokens},   {"commit_steps", response.commit_steps},
          {"ended", response.ended}, {"picture", response.picture}, {"text", response.text}};
}

Response parse_response(const Json& json, const std::string& source, const std::string& path) {
  Fields fields(json, source, path);
  Response response;
  response.ids = fields.integers("ids", 0, INT32_MAX);
  response.tokens = fields.integers("tokens", 0, std::ssize(response.ids) - 1);
  for (const int64_t step : fields.integers("commit_steps", 0, INT32_MAX))
    response.commit_steps.push_back(static_cast<int32_t>(step));
  if (response.commit_steps.size() != response.tokens.size())
    fields.fail("commit_steps", cat(response.commit_steps.size(), " steps"),
                cat(response.tokens.size(), ", one for each token"));
  response.ended = fields.boolean("ended");
  response.picture = fields.boolean("picture");
  response.text = fields.string("text");
  fields.finish();
  return response;
}

Json phase_json(const RolloutPhase& phase) {
  Json responses = Json::array(), advantages = Json::array();
  for (const Response& response : phase.responses) responses.push_back(response_json(response));
  for (const auto& advantage : phase.advantages)
    advantages.push_back(advantage ? Json(*advantage) : Json(nullptr));
  return {{"outer_step", phase.outer_step},
          {"responses", std::move(responses)},
          {"advantages", std::move(advantages)},
          {"old", tensors_json(phase.old)},
          {"reference", tensors_json(phase.reference)}};
}

RolloutPhase parse_phase(const Json& json, const std::string& source, const std::string& path) {
  Fields fields(json, source, path);
  RolloutPhase phase;
  phase.outer_step = fields.integer("outer_step", 0, kMost);
  const Json& responses = list_of(fields, "responses");
  for (size_t i = 0; i < responses.size(); ++i)
    phase.responses.push_back(parse_response(responses[i], source, cat(path, ".responses[", i, "]")));
  for (const Json& advantage : list_of(fields, "advantages")) {
    if (!advantage.is_null() && !advantage.is_number())
      fields.fail("advantages", found_text(advantage), "numbers and null");
    phase.advantages.push_back(advantage.is_null() ? std::nullopt : std::optional(advantage.get<double>()));
  }
  if (phase.advantages.size() != phase.responses.size())
    fields.fail("advantages", cat(phase.advantages.size(), " of them"),
                cat(phase.responses.size(), ", one for each response"));
  phase.old = parse_tensors(fields, "old", source, path);
  phase.reference = parse_tensors(fields, "reference", source, path);
  fields.finish();
  return phase;
}

}  // namespace mmada
