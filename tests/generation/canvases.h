// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <vector>

#include "mmada/generation/image_canvas.h"
#include "mmada/generation/r2i_canvas.h"
#include "mmada/generation/resident_region.h"
#include "mmada/generation/text_canvas.h"
#include "tests/generation/tiny.h"

/// Rows of every kind that can be filled on the device.
namespace mmada::canvases {

constexpr int64_t kBudget = 8;

inline Canvas text(TokenIds prompt, TextOptions options, uint32_t stream = 0) {
  options.stream = stream;
  options.seed = 5;
  return text_canvas(tiny::layout(), prompt, options);
}

inline Canvas image(TokenIds caption, ImageOptions options, uint32_t stream = 0, bool holes = false) {
  std::vector<int64_t> codes(16, -1);
  for (size_t i = 0; holes && i < codes.size(); i += 3) codes[i] = static_cast<int64_t>(i);
  options.stream = stream;
  options.seed = 5;
  return image_canvas(tiny::layout(), caption, codes, kBudget, options, at::kFloat).canvas;
}

inline Canvas reasoned(TokenIds prompt, TextOptions reasoning, ImageOptions options, uint32_t stream = 0) {
  options.stream = stream;
  options.seed = 5;
  return r2i_canvas(tiny::layout(), prompt, std::vector<int64_t>(16, -1), 24, reasoning, options, at::kFloat)
      .canvas;
}

/// Settings of every kind that a region can be filled with on the device.
inline std::vector<Canvas> all() {
  const TextOptions noisy{.gen_length = 24, .block_length = 8, .steps = 12, .temperature = 1.0};
  TextOptions guided = noisy, dynamic = noisy, random = noisy, margin = noisy, filtered = noisy;
  guided.cfg_scale = 1.5;
  dynamic.remasking = "low_confidence_dynamic", dynamic.threshold = 0.3;
  random.remasking = "random";
  margin.confidence = "margin_confidence", margin.confidence_eos_eot_inf = true;
  filtered.top_k = 5, filtered.top_p = 0.8;
  const ImageOptions picture{.steps = 6, .guidance_scale = 2.0}, greedy{.steps = 5, .greedy = true};
  const TextOptions reasoning{.gen_length = 16, .block_length = 8, .steps = 12, .temperature = 1.0};
  const int64_t mask = tiny::layout().mask;
  return {text({50, 3, 4, 5}, noisy),
          text({50, 3}, noisy, 1),
          text({50, 3, 4, 5, 6, 7}, guided, 2),
          text({50, 9}, guided, 3),
          text({50, 8, 7}, dynamic, 4),
          text({50, 8, 7}, random, 5),
          text({50, 8, 7}, margin, 6),
          text({50, 8, 7, 6}, filtered, 7),
          image({9, 10, 11}, picture, 8),
          image({12}, picture, 9, true),
          image({13}, greedy, 10),
          reasoned({50, 9, 8}, reasoning, greedy, 11),
          reasoned({50, 9}, reasoning, picture, 12),
          infill_canvas(tiny::layout(), {50, mask, mask, 4, mask, 6, 51}, {.steps = 2, .temperature = 1.0})};
}

/// The row when its first region is opened.
inline ResidentRow resident(const Canvas& canvas) {
  const auto& positions = canvas.regions.front().positions;
  return {&canvas, &canvas.regions.front(), 0,
          std::count_if(positions.begin(), positions.end(),
                        [&](int64_t i) { return canvas.ids[i] == tiny::layout().mask; })};
}

}  // namespace mmada::canvases
