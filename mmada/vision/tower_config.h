// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "mmada/core/json.h"
#include "mmada/vision/attention_layers.h"

/// What the configurations of networks that judge pictures have in common.
namespace mmada::vision {

inline constexpr int64_t kMaxWidth = 1 << 14, kMaxLayers = 256, kMaxPositions = 4096, kMaxSide = 4096;
inline constexpr int64_t kMaxVocabulary = 1 << 24;

/// hidden_size, intermediate_size, num_attention_heads, layer_norm_eps, num_hidden_layers and hidden_act
/// ("gelu" or "quick_gelu"); what is absent is the standard's.
Tower parse_tower(Fields& fields, const Tower& standard);

/// A square picture and the square patches that it is cut into, in pixels.
struct PatchGrid {
  int64_t image_size = 224, patch = 32;

  int64_t patches() const { return (image_size / patch) * (image_size / patch); }
};
/// image_size and patch_size, which is no larger.
PatchGrid parse_patch_grid(Fields& fields, const PatchGrid& standard);

}  // namespace mmada::vision
