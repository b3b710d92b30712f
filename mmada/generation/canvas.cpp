// SPDX-License-Identifier: MIT
#include "mmada/generation/canvas.h"

namespace mmada {

std::optional<int64_t> end_of_answer(const StopRule& stop, const TokenIds& ids, int64_t mask) {
  if (stop.kind != EarlyStop::kRowEos) return {};
  for (int64_t i = stop.answer.begin; i < stop.answer.end && ids[i] != mask; ++i)
    if (ids[i] == stop.eos) return i;
  return {};
}

}  // namespace mmada
