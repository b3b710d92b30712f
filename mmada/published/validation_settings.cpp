// SPDX-License-Identifier: MIT
#include "mmada/published/validation_settings.h"

namespace mmada::published {
namespace {

constexpr int64_t kPanels = 4;

Json text_sampler(int64_t tokens, int64_t steps, int64_t block) {
  return {{"gen_length", tokens}, {"steps", steps}, {"block_length", block}};
}

std::string path_of(Fields& params, const std::string& key) {
  const std::string path = params.has(key) ? params.string(key) : "";
  params.ignore(key);
  return path;
}

}  // namespace

void read_validation_paths(Fields& params, PublishedValidation* validation) {
  validation->prompts_file = path_of(params, "validation_prompts_file");
  validation->questions = path_of(params, "mmu_validation_prompts_file");
  validation->images_root = path_of(params, "mmu_image_root");
  validation->chat_file = path_of(params, "lm_chat_validation_jsonl");
  for (const auto& [key, other] : {std::pair("mmu_image_root", "mmu_validation_prompts_file"),
                                   std::pair("mmu_validation_prompts_file", "mmu_image_root")})
    if (params.has(other) && !params.has(key))
      params.fail(key, "nothing", std::string("one beside `") + other + "`");
}

void read_validation_numbers(Fields& training, PublishedValidation* validation) {
  validation->steps = training.integer("generation_timesteps", 1, 1 << 16, validation->steps);
  validation->guidance_scale = training.number("guidance_scale", 0, 1e6, validation->guidance_scale);
  validation->temperature = training.number("generation_temperature", 0, 1e6, validation->temperature);
}

Json validation_section(const PublishedValidation& validation, Stage stage, int64_t text_budget) {
  const bool early = stage == Stage::k1 || stage == Stage::k2;
  const Json answers =
      early ? text_sampler(128, 128, 128) : text_sampler(text_budget, text_budget / 2, text_budget / 4);
  Json section = {{"every", validation.every}};
  if (!validation.prompts_file.empty()) section["prompts_file"] = validation.prompts_file;
  section["panels"] = kPanels;
  section["pictures"] = {{"steps", validation.steps},
                         {"guidance_scale", validation.guidance_scale},
                         {"temperature", validation.temperature},
                         {"schedule", validation.mask_schedule}};
  if (!validation.questions.empty()) {
    section["questions"] = validation.questions;
    section["images_root"] = validation.images_root;
    section["answers"] = answers;
  }
  if (!validation.chat_file.empty() && !early) {
    section["chat_file"] = validation.chat_file;
    // 768 steps there, of which 64 a block can commit nothing
    section["chat"] = stage == Stage::k3 ? answers : text_sampler(512, 512, 128);
  }
  return section;
}

}  // namespace mmada::published
