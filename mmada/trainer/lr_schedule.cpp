// SPDX-License-Identifier: MIT
#include "mmada/trainer/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mmada {

double LrSchedule::factor(int64_t step) const {
  if (name == "constant") return 1.0;
  if (step < warmup_steps) return static_cast<double>(step) / static_cast<double>(warmup_steps);
  if (name == "constant_with_warmup") return 1.0;
  const double m = min_lr_scale;
  if (name == "warmup_stable_decay") {
    const int64_t left = total_steps - step;
    if (left >= decay_steps) return 1.0;
    return m + (1.0 - m) * static_cast<double>(std::max<int64_t>(left, 0)) / static_cast<double>(decay_steps);
  }
  const double span = static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps));
  const double p = std::min(1.0, static_cast<double>(step - warmup_steps) / span);
  if (name == "linear") return m + (1.0 - m) * (1.0 - p);
  if (name == "cosine") return m + (1.0 - m) * 0.5 * (1.0 + std::cos(std::numbers::pi * p));
  return m + (1.0 - m) * std::pow(1.0 - p, power);
}

LrSchedule parse_lr_schedule(Fields fields, int64_t total_steps) {
  LrSchedule schedule;
  schedule.name = fields.choice(
      "name", {"constant", "constant_with_warmup", "linear", "cosine", "polynomial", "warmup_stable_decay"},
      schedule.name);
  schedule.total_steps = total_steps;
  schedule.warmup_steps = fields.integer("warmup_steps", 0, total_steps, 0);
  schedule.decay_steps = fields.integer("decay_steps", 0, total_steps, 0);
  schedule.min_lr_scale = fields.number("min_lr_scale", 0.0, 1.0, 0.0);
  schedule.power = fields.number("power", 0.0, 100.0, 1.0);
  if (schedule.name == "constant" && schedule.warmup_steps > 0)
    fields.fail("warmup_steps", cat(schedule.warmup_steps),
                "0 for \"constant\" (or name constant_with_warmup)");
  if (schedule.name == "warmup_stable_decay" && schedule.warmup_steps + schedule.decay_steps > total_steps)
    fields.fail("decay_steps", cat(schedule.decay_steps), "at most the steps after warm-up");
  fields.finish();
  return schedule;
}

}  // namespace mmada
