// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "mmada/core/json.h"
#include "mmada/model/config.h"
#include "mmada/ops/frozen_linear.h"

namespace mmada {

/// Low-rank adaptation of a transformer's projections, whose own weights stay as they are.
///
/// LoRA (arXiv 2106.09685): W x becomes W x + alpha / rank B A x, A [rank, I] drawn uniformly up to 1 /
/// sqrt(I) (Kaiming's rule with a = sqrt(5)), B [O, rank] zero. DoRA (arXiv 2402.09353): the rows of W +
/// alpha / rank B A are scaled to the length m [O], which begins as that of W's; the length that they have is
/// taken for a constant in the backward pass (section 4.3, as in peft).
struct LoraOptions {
  int64_t rank = 16;
  double alpha = 32;
  std::vector<std::string> targets;  ///< names of projections of a block (SPEC 1.5)
  std::vector<int64_t> layers;       ///< blocks whose projections are adapted
  bool dora = false;
  WeightFormat base = WeightFormat::kFull;  ///< of all projections of the blocks
  uint64_t seed = 0;                        ///< of A

  double scale() const { return alpha / static_cast<double>(rank); }
  /// Whether a weight of the network, by its published name, is adapted.
  bool adapts(const std::string& name) const;
};
/// Reads the configuration's "lora"; layers default to all of them.
LoraOptions parse_lora(Fields fields, const TransformerConfig& config, uint64_t seed);

/// Names of the adapter's tensors beside a weight's: "PROJECTION.lora_A.weight" and so on, as peft has them.
struct AdapterNames {
  std::string a, b, magnitude;
};
AdapterNames adapter_names(const std::string& weight);

/// A projection that is frozen, and its adapter where it has one.
struct AdaptedWeight {
  FrozenWeight base;
  at::Tensor a, b;       ///< [rank, I], [O, rank]; undefined where the projection has none
  at::Tensor magnitude;  ///< [O]; undefined but for DoRA
  double scale = 0;      ///< LoraOptions::scale()
};
/// x [..., I] -> [..., O]; differentiable in x and the adapter.
at::Tensor project(const at::Tensor& x, const AdaptedWeight& weight);
/// The plain weight [O, I] that does the same, in fp32 (fp64 where the adapter's type is).
at::Tensor merge(const AdaptedWeight& weight);
/// The Euclidean lengths of a weight's rows [O]: what DoRA's magnitude begins as.
at::Tensor row_lengths(const at::Tensor& weight_OI);
/// Draws A or zeroes B, by the name of the tensor.
void initialize_adapter(const std::string& name, const at::Tensor& tensor, uint64_t seed);

}  // namespace mmada
