// SPDX-License-Identifier: MIT
#include "mmada/diffusion/response_noise.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/core/rng.h"

namespace mmada {
namespace {

constexpr std::string_view kSpacings[] = {"formula", "example", "random", "fixed"};
constexpr std::string_view kKinds[] = {"structured", "coupled", "trace"};

template <size_t kCount>
size_t index_of(const std::string_view (&names)[kCount], std::string_view name, const char* what,
                const char* expected) {
  const auto found = std::ranges::find(names, name);
  MMADA_CHECK(found != std::end(names), what, ": found ", quote(name), ", expected ", expected);
  return static_cast<size_t>(found - std::begin(names));
}

Rng stream(const std::string& purpose, uint64_t seed, int64_t outer_step, int64_t response) {
  constexpr int kResponseBits = 20;
  return {seed, "unigrpo/" + purpose, static_cast<uint64_t>((outer_step << kResponseBits) + response)};
}

MaskedResponse structured(int64_t tokens, double share, const ResponsePlace& place) {
  Rng rng = stream(cat("mask/", place.update), place.seed, place.outer_step, place.response);
  MaskedResponse copy;
  for (int64_t i = 0; i < tokens; ++i)
    if (rng.uniform() < share) copy.masked.push_back(i);
  if (copy.masked.empty())
    copy.masked.push_back(static_cast<int64_t>(rng.below(static_cast<uint64_t>(tokens))));
  copy.scored = copy.masked;
  return copy;
}

MaskedResponse complement(const MaskedResponse& of, int64_t tokens) {
  MaskedResponse copy;
  for (int64_t i = 0; i < tokens; ++i)
    if (!std::ranges::binary_search(of.masked, i)) copy.masked.push_back(i);
  copy.scored = copy.masked;
  return copy;
}

std::vector<MaskedResponse> along_trace(std::span<const int32_t> commit_steps, int64_t shrink) {
  std::vector<int32_t> steps(commit_steps.begin(), commit_steps.end());
  std::ranges::sort(steps);
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  std::vector<MaskedResponse> copies;
  for (size_t first = 0; first < steps.size(); first += static_cast<size_t>(shrink)) {
    const size_t end = std::min(steps.size(), first + static_cast<size_t>(shrink));
    MaskedResponse& copy = copies.emplace_back();
    for (int64_t i = 0; i < std::ssize(commit_steps); ++i) {
      if (commit_steps[i] >= steps[first]) copy.masked.push_back(i);
      if (commit_steps[i] >= steps[first] && commit_steps[i] <= steps[end - 1]) copy.scored.push_back(i);
    }
  }
  return copies;
}

}  // namespace

NoiseSpacing noise_spacing_from_name(std::string_view name) {
  return static_cast<NoiseSpacing>(
      index_of(kSpacings, name, "noise spacing", "formula, example, random or fixed"));
}

ResponseNoise response_noise_from_name(std::string_view name) {
  return static_cast<ResponseNoise>(index_of(kKinds, name, "response noise", "structured, coupled or trace"));
}

std::vector<int64_t> noise_times(const NoiseLevels& levels, int64_t first) {
  const int64_t T = levels.timesteps, mu = levels.updates;
  std::vector<int64_t> times;
  for (int64_t n = 0; n < mu; ++n) {
    if (levels.spacing == NoiseSpacing::kExample)
      times.push_back(std::min(T, first + n * (T / mu)));
    else  // of one update the formula knows none; its last masks everything
      times.push_back(mu == 1 ? T : n * (T - first) / (mu - 1) + first);
  }
  return times;
}

std::vector<double> noise_shares(const NoiseLevels& levels, uint64_t seed, int64_t outer_step,
                                 int64_t response) {
  MMADA_CHECK(levels.updates >= 1 && levels.timesteps >= levels.updates && levels.fixed_share > 0 &&
                  levels.fixed_share <= 1,
              "noise levels: found ", levels.updates, " updates, ", levels.timesteps,
              " timesteps and a share of ", levels.fixed_share,
              ", expected at least 1, at least as many as updates, and a share in (0, 1]");
  const auto mu = static_cast<size_t>(levels.updates);
  if (levels.spacing == NoiseSpacing::kFixed) return std::vector<double>(mu, levels.fixed_share);
  const auto T = static_cast<double>(levels.timesteps);
  Rng rng = stream("time", seed, outer_step, response);
  const auto draw = [&] { return static_cast<int64_t>(rng.uniform() * T); };
  std::vector<int64_t> times(mu);
  if (levels.spacing == NoiseSpacing::kRandom)
    std::ranges::generate(times, draw);
  else
    times = noise_times(levels, draw());
  std::vector<double> shares;
  for (const int64_t t : times)
    shares.push_back(static_cast<double>(std::max<int64_t>(t, 1)) / T);  // 0 masks nothing
  return shares;
}

std::vector<MaskedResponse> mask_response(const ResponseNoiseOptions& options, int64_t tokens, double share,
                                          std::span<const int32_t> commit_steps, const ResponsePlace& place) {
  MMADA_CHECK(tokens > 0, "response noise: found a response of ", tokens, " tokens, expected at least one");
  if (options.kind == ResponseNoise::kTrace) {
    MMADA_CHECK(std::ssize(commit_steps) == tokens && options.shrink >= 1,
                "response noise: found the steps of ", commit_steps.size(), " tokens and groups of ",
                options.shrink, ", expected those of ", tokens, " and at least 1");
    return along_trace(commit_steps, options.shrink);
  }
  std::vector<MaskedResponse> copies{structured(tokens, share, place)};
  if (options.kind == ResponseNoise::kCoupled)
    if (MaskedResponse other = complement(copies.front(), tokens); !other.masked.empty())
      copies.push_back(std::move(other));
  return copies;
}

}  // namespace mmada
