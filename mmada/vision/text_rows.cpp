// SPDX-License-Identifier: MIT
#include "mmada/vision/text_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace mmada::vision {

TokenIds framed(TokenIds ids, int64_t start, int64_t end, int64_t most) {
  ids.resize(std::min<size_t>(ids.size(), most - 2));
  ids.insert(ids.begin(), start);
  ids.push_back(end);
  return ids;
}

at::Tensor rows_to_tensor(const std::vector<TokenIds>& rows, int64_t fill) {
  size_t longest = 0;
  for (const TokenIds& row : rows) longest = std::max(longest, row.size());
  const at::Tensor ids_BT = at::full({std::ssize(rows), static_cast<int64_t>(longest)}, fill, at::kLong);
  for (size_t b = 0; b < rows.size(); ++b)
    std::ranges::copy(rows[b], ids_BT.mutable_data_ptr<int64_t>() + b * longest);
  return ids_BT;
}

}  // namespace mmada::vision
