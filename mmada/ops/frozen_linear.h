// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace mmada {

/// How the weights of a projection that is not trained are held.
enum class WeightFormat {
  kFull,  ///< as they are
  kInt8,  ///< a byte each, and a scale for each row: its largest magnitude / 127
  kNf4,   ///< 4 bits each: NormalFloat levels times the largest magnitude of 64 neighbours (arXiv 2305.14314)
};

/// Weights that are not trained, of a projection [O, I].
struct FrozenWeight {
  static constexpr int64_t kNf4Block = 64;  ///< columns of a row that share a scale; the last may be fewer

  WeightFormat format = WeightFormat::kFull;
  at::Tensor values;  ///< [O, I]; int8 [O, I]; or uint8 [O, I / 2], the even column in the high four bits
  at::Tensor scales;  ///< none; fp32 [O]; or fp32 [O, I / 64 rounded up]
};

/// Writes what a full weight [O, I] of floating point becomes into a frozen weight's tensors, which have the
/// shapes above. NF4 wants an even number of columns.
void quantise(const at::Tensor& weight_OI, const FrozenWeight& into);
/// The weights [O, I] again, of a floating-point type.
at::Tensor dequantise(const FrozenWeight& weight, at::ScalarType type);

/// x [..., I] times the transpose of the weight -> [..., O], differentiable in x alone. Neither x nor a
/// dequantised weight is kept for the backward pass, which dequantises again.
at::Tensor project_frozen(const at::Tensor& x, const FrozenWeight& weight);

}  // namespace mmada
