// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "mmada/core/types.h"

namespace mmada {

/// What a training loss is made of: sum_i weight_i * -log p(target_i | position_i) over a vocabulary window.
struct WeightedTargets {
  at::Tensor positions_N;  ///< int64, flat row-major positions b*T+t
  at::Tensor targets_N;    ///< int64 vocabulary ids
  at::Tensor weights_N;    ///< fp32, coefficients and denominators included
  std::string flow;        ///< "t2i", "lm", "mmu", ...: the name the loss is logged under
};

}  // namespace mmada
