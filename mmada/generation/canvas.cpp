// SPDX-License-Identifier: MIT
#include "mmada/generation/canvas.h"

namespace mmada {

SelectParams select_params(const Region& region) {
  return {.window = region.window,
          .banned = region.banned,
          .never_confident = region.never_confident,
          .confidence = region.confidence,
          .temperature = region.temperature,
          .top_k = region.top_k,
          .top_p = region.top_p,
          .double_precision = region.select_in_double};
}

std::optional<int64_t> end_of_answer(const StopRule& stop, const TokenIds& ids, int64_t mask) {
  if (stop.kind != EarlyStop::kRowEos) return {};
  for (int64_t i = stop.answer.begin; i < stop.answer.end && ids[i] != mask; ++i)
    if (ids[i] == stop.eos) return i;
  return {};
}

}  // namespace mmada
