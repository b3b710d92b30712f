// SPDX-License-Identifier: MIT
#include "kernels/attention/plan.h"

namespace mmada::kernels {

size_t attention_workspace_size(const AttentionParams& p) {
  const int64_t splits = attention::splits_of(p);
  if (splits == 1) return 0;
  return static_cast<size_t>(splits * p.heads * p.total_queries * (p.head_dim + 1)) * sizeof(float);
}

size_t attention_backward_workspace_size(const AttentionParams& p) {
  return static_cast<size_t>(p.heads * p.total_queries) * sizeof(float);
}

}  // namespace mmada::kernels
