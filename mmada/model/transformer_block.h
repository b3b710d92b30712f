// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "mmada/model/transformer.h"

namespace mmada {

/// Throws where the ids are no [B, T] of int64 inside the vocabulary, or packed rows are none.
void check_rows(const RowBatch& rows, const TransformerConfig& config);

/// Transformer::tables for weights that live elsewhere.
PassTables pass_tables(const TransformerConfig& config, at::Device device, int64_t rows, int64_t tokens,
                       const Visibility& visibility, const std::optional<at::Tensor>& positions_N);
/// The same for a batch that may be packed.
PassTables pass_tables(const TransformerConfig& config, at::Device device, const RowBatch& rows,
                       const std::optional<at::Tensor>& positions_N);

/// What a backward pass computes anew instead of keeping it from the forward pass.
enum class Recompute {
  kNothing,
  kNormsAndSwiglu,  ///< the outputs of RMSNorm and SwiGLU, which are the inputs of products
  kBlocks,          ///< all of a block but its input; up to whoever runs it
};

/// The product of x with a projection of a block, whatever its weights are.
using BlockProduct =
    std::function<at::Tensor(const at::Tensor& x, at::Tensor Transformer::Block::*projection)>;

/// One block of the transformer (SPEC 1.2) on x [B, T, D]. The `last` one computes its queries and MLP at the
/// tables' chosen positions alone, where there are any: [N, D]. With a
/// `product` the block's own projections are not read; kNormsAndSwiglu is not for it.
at::Tensor run_block(const Transformer::Block& block, const at::Tensor& x_BTD,
                     const TransformerConfig& config, const PassTables& tables, bool last,
                     Recompute recompute = Recompute::kNothing, const BlockProduct& product = nullptr);

}  // namespace mmada
