// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "mmada/core/json.h"

namespace mmada {

/// The learning rate as a multiple of the configured one (SPEC 6.2). Warm-up rises linearly from 0;
/// "constant" has none. With p the share of the steps after warm-up that are done and m = min_lr_scale:
///   constant, constant_with_warmup: 1
///   linear:                         m + (1 - m)(1 - p)
///   cosine:                         m + (1 - m)(1 + cos(pi p)) / 2
///   polynomial:                     m + (1 - m)(1 - p)^power
///   warmup_stable_decay:            1, then linearly down to m over the last decay_steps
struct LrSchedule {
  std::string name = "constant";
  int64_t warmup_steps = 0;
  int64_t total_steps = 0;
  int64_t decay_steps = 0;  ///< warmup_stable_decay
  double min_lr_scale = 0.0;
  double power = 1.0;  ///< polynomial

  double factor(int64_t step) const;  ///< of the 0-based optimizer step
};

LrSchedule parse_lr_schedule(Fields fields, int64_t total_steps);

}  // namespace mmada
