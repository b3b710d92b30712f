// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "mmada/distributed/group.h"

namespace mmada {

/// Every rank's bytes, of any length, in rank order. Every process calls it.
std::vector<std::string> gather_bytes(const Group& group, const std::string& own);
/// Every rank's tensor of one dimension, of any length (CPU), behind one another in rank order. Every process
/// calls it.
at::Tensor gather_rows(const Group& group, const at::Tensor& own_N);

}  // namespace mmada
