// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "mmada/model/transformer.h"

namespace mmada {

/// What forward passes cost: a multiplication and an addition are two FLOPs; softmaxes, norms and rotations
/// are left out. With d the width, k that of all key heads, m of the MLP, T the tokens of a row, R the rows,
/// N the positions read, V a row's visible keys:
///  - every layer but the last: 2 R T (2 d^2 + 2 d k + 3 d m) and, for each row, 4 d T V of attention;
///  - the last: 2 R T 2 d k + 2 N (2 d^2 + 3 d m) and, for each row, 4 d P V, P the most positions read of
///  any row; of packed rows each has its own T, V and P;
///  - the head: 2 d for each logit.
struct Work {
  int64_t forwards = 0;
  int64_t tokens = 0;     ///< R T: tokens that pass through the layers, padding of short rows included
  int64_t read_rows = 0;  ///< N: hidden states that leave the last layer
  int64_t logits = 0;     ///< rows x columns of the head, guided rows twice
  int64_t layer_flops = 0, attention_flops = 0, head_flops = 0;
  /// Weights of the products, each once per forward pass: L (2 d^2 + 2 d k + 3 d m) elements and d for each
  /// column of the head that is read.
  int64_t weight_bytes = 0;

  Work& operator+=(const Work& other);
  bool operator==(const Work&) const = default;
};

/// Of one forward pass of the layers that reads `positions_N` (flat b*T+t).
Work layers_work(const TransformerConfig& config, const RowBatch& rows,
                 const std::vector<int64_t>& positions_N, int64_t element_bytes);
/// Of the head on `rows` hidden states over `columns` ids, which reads these columns' weights once.
Work head_work(const TransformerConfig& config, int64_t rows, int64_t columns, int64_t element_bytes);

}  // namespace mmada
