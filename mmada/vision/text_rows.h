// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "mmada/core/types.h"

namespace mmada::vision {

/// start, ids, end: cut to `most` in all, the end kept.
TokenIds framed(TokenIds ids, int64_t start, int64_t end, int64_t most);
/// Rows [B, T] of the longest one's length, int64; shorter ones are filled up.
at::Tensor rows_to_tensor(const std::vector<TokenIds>& rows, int64_t fill);

}  // namespace mmada::vision
