// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace mmada {

/// How N chosen positions of a [B, T] batch become a rectangle [B, P] for attention and back. Rows may hold
/// different numbers of positions in any order; short rows are filled up with copies that from_rows drops.
struct QueryPlan {
  /// positions_N: flat row-major b*T+t, int64.
  QueryPlan(const at::Tensor& positions_N, int64_t rows, int64_t tokens, at::Device device);
  /// Of packed rows that begin at all but the last of `offsets`: the rectangle is [1, N], row after row.
  QueryPlan(const at::Tensor& positions_N, const std::vector<int64_t>& offsets, at::Device device);

  at::Tensor flat_N;    ///< the positions, on the device
  at::Tensor token_N;   ///< t of each
  at::Tensor token_BP;  ///< t of each slot of the rectangle

  at::Tensor to_rows(const at::Tensor& x_N) const;     ///< [N, ...] -> [B, P, ...]
  at::Tensor from_rows(const at::Tensor& x_BP) const;  ///< [B, P, ...] -> [N, ...]

 private:
  std::optional<at::Tensor>
      source_BP_;  ///< index into N of each slot; none: the positions already are the rectangle
  std::optional<at::Tensor> slot_N_;  ///< flat slot of each position
};

}  // namespace mmada
