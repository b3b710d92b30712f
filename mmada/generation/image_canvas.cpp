// SPDX-License-Identifier: MIT
#include "mmada/generation/image_canvas.h"

#include <numeric>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/diffusion/layouts.h"

namespace mmada {
namespace {

std::shared_ptr<const CommitRule> maskgit_rule(const ImageOptions& options, c10::ScalarType weight_dtype) {
  const Compat& compat = options.compat;
  MaskGitOptions rule;
  rule.schedule = Schedule(options.schedule);
  rule.temperature = options.greedy ? 0.0 : options.temperature;
  rule.compounding_temperature = compat.compounding_temperature;
  rule.schedule_counts_all_slots = compat.schedule_counts_all_slots;
  rule.single_precision_schedule = compat.single_precision_schedule;
  rule.ties_survive_cut = compat.ties_survive_cut;
  if (compat.sample_images_in_weight_dtype) rule.score_dtype = weight_dtype;
  return std::make_shared<MaskGitRule>(std::move(rule));
}

void check_caption(const TokenLayout& layout, const TokenIds& caption, int64_t budget) {
  const bool has_bos = !caption.empty() && caption.front() == layout.bos;
  const auto length = static_cast<int64_t>(caption.size()) + (has_bos ? 1 : 2);
  MMADA_CHECK(length <= budget, "caption: found ", length,
              " tokens with bos and eos, expected at most the text budget ", budget, " (max-text-length)");
}

}  // namespace

TokenIds image_ids_of(const TokenLayout& layout, const std::vector<int64_t>& codes) {
  TokenIds ids;
  for (size_t i = 0; i < codes.size(); ++i) {
    MMADA_CHECK(codes[i] >= -1 && codes[i] < layout.codebook_size, "image codes: entry ", i, ": found ",
                codes[i], ", expected 0 to ", layout.codebook_size - 1, ", or -1 to generate it");
    ids.push_back(codes[i] < 0 ? layout.mask : layout.image_token_offset + codes[i]);
  }
  return ids;
}

Region image_region(const TokenLayout& layout, Span slots, const ImageOptions& options,
                    c10::ScalarType weight_dtype) {
  Region region;
  region.positions.resize(slots.size());
  std::iota(region.positions.begin(), region.positions.end(), slots.begin);
  region.window = layout.code_window();
  region.steps = options.steps;
  region.temperature = options.greedy ? 0.0 : options.token_temperature;
  region.sample_in_weight_dtype = options.compat.sample_images_in_weight_dtype;
  region.select_in_double = options.compat.select_in_double;
  region.commit = maskgit_rule(options, weight_dtype);
  return region;
}

std::shared_ptr<const GuidancePolicy> image_guidance(const TokenLayout& layout, const TokenIds& image_ids,
                                                     int64_t budget, const ImageOptions& options) {
  if (options.guidance_scale <= 0) return nullptr;
  const Row unconditional = t2i_uncond_row(layout, image_ids, budget);
  const int64_t own = options.compat.uncond_prefix_length;
  return std::make_shared<UnconditionalPrefixGuidance>(unconditional.ids, unconditional.valid,
                                                       own > 0 ? own : budget + 1, options.guidance_scale);
}

ImageCanvas image_canvas(const TokenLayout& layout, const TokenIds& caption,
                         const std::vector<int64_t>& codes, int64_t budget, const ImageOptions& options,
                         c10::ScalarType weight_dtype) {
  validate(options);
  check_caption(layout, caption, budget);
  const TokenIds image = image_ids_of(layout, codes);
  const Row row = t2i_row(layout, caption, image, budget);
  Region region = image_region(layout, row.image, options, weight_dtype);
  region.guidance = image_guidance(layout, image, budget, options);
  Canvas canvas;
  canvas.ids = row.ids;
  canvas.valid = row.valid;
  canvas.attention = options.compat.attention;
  canvas.regions.push_back(std::move(region));
  canvas.seed = options.seed;
  canvas.stream = options.stream;
  canvas.mask_grows = options.stepwise && options.compat.stepwise_mask_grows;
  return {std::move(canvas), row.image};
}

std::vector<int64_t> codes_of_row(const TokenLayout& layout, const TokenIds& ids, Span slots) {
  std::vector<int64_t> codes;
  for (int64_t i = slots.begin; i < slots.end; ++i)
    codes.push_back(ids[i] == layout.mask ? -1 : ids[i] - layout.image_token_offset);
  return codes;
}

}  // namespace mmada
