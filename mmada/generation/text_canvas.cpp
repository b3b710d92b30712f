// SPDX-License-Identifier: MIT
#include "mmada/generation/text_canvas.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada {
namespace {

bool is_dynamic(const TextOptions& options) { return options.remasking == "low_confidence_dynamic"; }

Confidence confidence_measure(const TextOptions& options) {
  if (options.remasking == "random" || options.confidence == "random") return Confidence::kRandom;
  if (options.confidence == "margin_confidence") return Confidence::kMargin;
  if (options.confidence == "neg_entropy") return Confidence::kNegEntropy;
  return Confidence::kProbability;
}

std::shared_ptr<const CommitRule> commit_rule(const TextOptions& options) {
  if (is_dynamic(options)) return std::make_shared<ThresholdRule>(options.threshold);
  return std::make_shared<FixedCountRule>();
}

/// Everything of a region but its positions, reach and steps.
Region text_region(const TokenLayout& layout, const TextOptions& options) {
  Region region;
  region.window = options.compat.ban_foreign_ids ? layout.text_window() : layout.full_window();
  if (options.compat.ban_foreign_ids) region.banned.push_back(layout.mask);
  if (options.logits_eos_inf) region.banned.push_back(layout.eos);
  if (options.confidence_eos_eot_inf)
    for (const int64_t id : {layout.eos, layout.eot})
      if (id >= 0) region.never_confident.push_back(id);
  region.temperature = options.greedy ? 0.0 : options.temperature;
  region.select_in_double = options.compat.select_in_double;
  region.top_k = options.top_k;
  region.top_p = options.top_p;
  region.confidence = confidence_measure(options);
  region.commit = commit_rule(options);
  return region;
}

Canvas text_row(TokenIds ids, const TextOptions& options) {
  Canvas canvas;
  canvas.ids = std::move(ids);
  canvas.valid = {0, static_cast<int64_t>(canvas.ids.size())};
  const bool sees_padding = options.compat.guided_text_sees_padding && options.cfg_scale > 0;
  canvas.attention = sees_padding ? AttentionMode::kNone : options.compat.attention;
  canvas.seed = options.seed;
  canvas.stream = options.stream;
  return canvas;
}

/// The guidance of a row whose known tokens are all prompt.
std::shared_ptr<const GuidancePolicy> text_guidance(const TokenLayout& layout, const TokenIds& ids,
                                                    const TextOptions& options) {
  if (options.cfg_scale <= 0) return nullptr;
  std::vector<int64_t> prompt;
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] != layout.mask) prompt.push_back(static_cast<int64_t>(i));
  return std::make_shared<MaskedPromptGuidance>(std::move(prompt), layout.mask, options.cfg_scale);
}

int64_t check_blocks(const TextOptions& options) {
  if (options.gen_length % options.block_length != 0)
    throw Error(cat("block-length: found ", options.block_length, ", expected a divisor of gen-length ",
                    options.gen_length));
  const int64_t blocks = options.gen_length / options.block_length;
  if (!is_dynamic(options) && options.steps % blocks != 0)
    throw Error(cat("steps: found ", options.steps, ", expected a multiple of the ", blocks,
                    " blocks (gen-length ", options.gen_length, " / block-length ", options.block_length,
                    ")"));
  return blocks;
}

/// A "[MASK:n]" in a text: bytes [begin, end).
struct Hole {
  size_t begin = 0;
  size_t end = 0;
  std::string_view digits;
};

std::optional<Hole> next_hole(std::string_view text, size_t from) {
  constexpr std::string_view kOpen = "[MASK:";
  for (size_t at = from; (at = text.find(kOpen, at)) != std::string_view::npos; ++at) {
    const size_t first = at + kOpen.size();
    size_t end = first;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    if (end > first && end < text.size() && text[end] == ']')
      return Hole{at, end + 1, text.substr(first, end - first)};
  }
  return std::nullopt;
}

}  // namespace

std::vector<Region> text_blocks(const TokenLayout& layout, Span answer, const TextOptions& options) {
  const int64_t blocks = check_blocks(options);
  std::vector<Region> regions;
  for (int64_t block = 0; block < blocks; ++block) {
    Region region = text_region(layout, options);
    region.positions.resize(options.block_length);
    std::iota(region.positions.begin(), region.positions.end(), answer.begin + block * options.block_length);
    if (options.compat.earlier_masks_compete) region.reach = Span{0, region.positions.back() + 1};
    region.steps = is_dynamic(options) ? options.block_length : options.steps / blocks;
    regions.push_back(std::move(region));
  }
  return regions;
}

Canvas text_canvas(const TokenLayout& layout, const TokenIds& prompt, const TextOptions& options) {
  validate(options);
  const auto begin = static_cast<int64_t>(prompt.size());
  TokenIds ids = prompt;
  ids.resize(prompt.size() + options.gen_length, layout.mask);
  const auto guidance = text_guidance(layout, ids, options);
  Canvas canvas = text_row(std::move(ids), options);
  canvas.stop = {.kind = options.early_stop ? options.compat.early_stop : EarlyStop::kNever,
                 .eos = layout.eos,
                 .answer = {begin, begin + options.gen_length},
                 .group = 0};
  canvas.regions = text_blocks(layout, canvas.stop.answer, options);
  for (Region& region : canvas.regions) region.guidance = guidance;
  return canvas;
}

Canvas infill_canvas(const TokenLayout& layout, const TokenIds& ids, const TextOptions& options) {
  validate(options);
  Region region = text_region(layout, options);
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] == layout.mask) region.positions.push_back(static_cast<int64_t>(i));
  MMADA_CHECK(!region.positions.empty(), "infill: found no hole, expected at least one [MASK:n] (or mask id ",
              layout.mask, ") to fill");
  region.steps = is_dynamic(options) ? static_cast<int64_t>(region.positions.size()) : options.steps;
  region.guidance = text_guidance(layout, ids, options);
  Canvas canvas = text_row(ids, options);
  canvas.regions.push_back(std::move(region));
  return canvas;
}

TokenIds encode_with_holes(const Tokenizer& tokenizer, const TokenLayout& layout, std::string_view text) {
  constexpr int64_t kMaxHoles = 1 << 20;  // far above any max_sequence_length
  TokenIds ids;
  const auto append = [&](std::string_view part) {
    if (part.empty()) return;
    const TokenIds encoded = tokenizer.encode(part);
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  };
  size_t after = 0;
  int64_t holes = 0;
  while (const auto hole = next_hole(text, after)) {
    append(text.substr(after, hole->begin - after));
    const int64_t count = hole->digits.size() > 7 ? kMaxHoles + 1 : std::stoll(std::string(hole->digits));
    MMADA_CHECK(count >= 1 && count <= kMaxHoles - holes, "hole ",
                quote(text.substr(hole->begin, hole->end - hole->begin), 40), ": found ",
                printable(hole->digits, 20), " tokens, expected 1 to ", kMaxHoles, " in all holes together");
    ids.insert(ids.end(), count, layout.mask);
    holes += count;
    after = hole->end;
  }
  append(text.substr(after));
  return ids;
}

}  // namespace mmada
