// SPDX-License-Identifier: MIT
#include "mmada/generation/r2i_canvas.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/diffusion/layouts.h"
#include "mmada/generation/image_canvas.h"
#include "mmada/generation/text_canvas.h"

namespace mmada {
namespace {

std::shared_ptr<const GuidancePolicy> reasoning_guidance(const TokenLayout& layout, Span reasoning,
                                                         double scale) {
  if (scale <= 0) return nullptr;
  std::vector<int64_t> prompt(reasoning.begin);
  std::iota(prompt.begin(), prompt.end(), 0);
  return std::make_shared<MaskedPromptGuidance>(std::move(prompt), layout.mask, scale);
}

}  // namespace

int64_t r2i_room(const TokenLayout& layout, const TokenIds& prompt, int64_t budget) {
  const bool has_bos = !prompt.empty() && prompt.front() == layout.bos;
  return budget - static_cast<int64_t>(prompt.size()) - (has_bos ? 0 : 1);
}

R2iCanvas r2i_canvas(const TokenLayout& layout, const TokenIds& prompt, const std::vector<int64_t>& codes,
                     int64_t budget, TextOptions reasoning, const ImageOptions& options,
                     c10::ScalarType weight_dtype) {
  reasoning.compat = options.compat;
  validate(reasoning);
  validate(options);
  const int64_t room = r2i_room(layout, prompt, budget);
  MMADA_CHECK(reasoning.gen_length <= room, "reasoning: found ", reasoning.gen_length,
              " tokens to generate, expected at most ", std::max<int64_t>(room, 0), ": a prompt of ",
              budget - room, " tokens leaves no more of the text budget ", budget, " (max-text-length)");
  const TokenIds image = image_ids_of(layout, codes);
  Row row = r2i_row(layout, prompt, image, budget);
  const int64_t begin = 1 + budget - room;  // behind the task token and the prompt
  const Span answer{begin, begin + reasoning.gen_length};
  std::fill(row.ids.begin() + answer.begin, row.ids.begin() + answer.end, layout.mask);

  Canvas canvas;
  canvas.ids = std::move(row.ids);
  canvas.valid = row.valid;
  canvas.attention = options.compat.attention;
  canvas.regions = text_blocks(layout, answer, reasoning);
  const auto guidance = reasoning_guidance(layout, answer, reasoning.cfg_scale);
  for (Region& region : canvas.regions) region.guidance = guidance;
  canvas.regions.push_back(image_region(layout, row.image, options, weight_dtype));
  canvas.regions.back().guidance = image_guidance(layout, image, budget, options);
  const bool stops = reasoning.early_stop && options.compat.early_stop != EarlyStop::kNever;
  canvas.stop = {.kind = stops ? EarlyStop::kRowEos : EarlyStop::kNever,
                 .eos = layout.eos,
                 .answer = answer,
                 .group = 0};
  canvas.seed = options.seed;
  canvas.stream = options.stream;
  return {std::move(canvas), answer, row.image};
}

}  // namespace mmada
