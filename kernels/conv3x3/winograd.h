// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "kernels/conv3x3/conv3x3.h"

namespace mmada::kernels::winograd {

/// A tile in one dimension: 4 outputs from 6 inputs and 3 weights, y = A^T [(G w) * (B^T d)], where the
/// polynomials are multiplied at the points 0, +-a, +-b and infinity. The matrices are those of Lavin and
/// Gray for a = 1, b = 2; other points of the same form round better.
inline constexpr int64_t kOutputs = 4, kInputs = 6, kPoints = kInputs * kInputs;
inline constexpr float kA = 0.625f, kB = 1.5f;
inline constexpr float kAA = kA * kA, kBB = kB * kB;

/// B^T d.
template <class V>
[[gnu::always_inline]] inline void transform_input(const V (&d)[kInputs], V (&out)[kInputs]) {
  const V even_a = d[4] - kBB * d[2], odd_a = kA * (d[3] - kBB * d[1]);
  const V even_b = d[4] - kAA * d[2], odd_b = kB * (d[3] - kAA * d[1]);
  out[0] = even_a + kAA * (kBB * d[0] - d[2]);
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = (d[5] - kBB * d[3]) + kAA * (kBB * d[1] - d[3]);
}

/// G w: the values of the polynomial at the points, each divided by the product of its distances to the
/// others.
template <class V>
[[gnu::always_inline]] inline void transform_weight(const V (&w)[3], V (&out)[kInputs]) {
  constexpr float kAt0 = 1 / (kAA * kBB), kAtA = 1 / (2 * kAA * (kAA - kBB)),
                  kAtB = 1 / (2 * kBB * (kBB - kAA));
  const V even_a = kAtA * w[0] + (kAtA * kAA) * w[2], odd_a = (kAtA * kA) * w[1];
  const V even_b = kAtB * w[0] + (kAtB * kBB) * w[2], odd_b = (kAtB * kB) * w[1];
  out[0] = kAt0 * w[0];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = w[2];
}

/// A^T m.
template <class V>
[[gnu::always_inline]] inline void transform_output(const V (&m)[kInputs], V (&out)[kOutputs]) {
  const V even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
  out[0] = m[0] + (even_a + even_b);
  out[1] = kA * odd_a + kB * odd_b;
  out[2] = kAA * even_a + kBB * even_b;
  out[3] = m[5] + ((kA * kAA) * odd_a + (kB * kBB) * odd_b);
}

inline constexpr int64_t kPanel = 16;      ///< output channels multiplied side by side
inline constexpr int64_t kPanelGroup = 4;  ///< panels multiplied with inputs that are in the nearest cache
inline constexpr int64_t kTileBlock = 48;  ///< tiles whose inputs are in the next cache
inline constexpr int64_t kDepth = 64;      ///< input channels whose weights are, where weights are not shared
inline constexpr int64_t kRowPadding = 16;  ///< floats that keep the 36 points off the same cache sets

/// How the work is cut, by shape alone, and where its parts lie in the workspace (counted in floats).
///
/// Transformed inputs of a block of tiles are [36, kTileBlock, in], transformed weights of a panel
/// [36, channels, 16], products of the two [kTileBlock, 36, 16]. Of inputs and weights the larger (all blocks
/// or all panels) is made piece by piece where it is used, the smaller is made first and shared.
struct Plan {
  explicit Plan(const Conv3x3Params& p)
      : tile_rows((p.height + kOutputs - 1) / kOutputs),
        tile_columns((p.width + kOutputs - 1) / kOutputs),
        tiles(p.batch * tile_rows * tile_columns),
        blocks((tiles + kTileBlock - 1) / kTileBlock),
        panels(p.out_channels / kPanel),
        inputs_are_shared(tiles < p.out_channels),
        depth(inputs_are_shared && p.in_channels > kDepth ? kDepth : p.in_channels),
        input_stride(kTileBlock * p.in_channels + kRowPadding),
        weight_stride(depth * kPanel + kRowPadding) {}

  int64_t input_size() const { return kPoints * input_stride; }    ///< of a block
  int64_t weight_size() const { return kPoints * weight_stride; }  ///< of a panel
  static constexpr int64_t product_size() { return kTileBlock * kPoints * kPanel; }
  int64_t shared_size() const { return inputs_are_shared ? blocks * input_size() : panels * weight_size(); }
  /// What a chunk works in: products of a group of panels with one block or of one panel with all blocks,
  /// then what is not shared.
  int64_t slot_products() const { return inputs_are_shared ? blocks : kPanelGroup; }
  int64_t slot_size() const {
    return slot_products() * product_size() + (inputs_are_shared ? weight_size() : input_size());
  }

  int64_t tile_rows, tile_columns, tiles, blocks, panels;
  bool inputs_are_shared;
  int64_t depth;                        ///< input channels whose weights are transformed at a time
  int64_t input_stride, weight_stride;  ///< between the 36 points
};

/// Products of a block of inputs with some panels of weights, over some of the input channels.
struct Products {
  int64_t block, panels;
  int64_t depth;        ///< channels
  const float* inputs;  ///< at the first of them
  const float* weights;
  float* products;
  bool add;  ///< to what earlier channels gave
};

/// The steps for one instruction set. zeros_C stands for pixels outside of the picture.
struct Steps {
  const char* name;
  bool (*is_supported)();
  void (*input)(const Conv3x3Params& p, const Plan& plan, int64_t block, const float* zeros_C, float* inputs);
  /// Of plan.depth channels, or what is left of them, from `first` on.
  void (*weights)(const Conv3x3Params& p, const Plan& plan, int64_t panel, int64_t first, float* weights);
  void (*multiply)(const Conv3x3Params& p, const Plan& plan, const Products& products);
  void (*output)(const Conv3x3Params& p, const Plan& plan, int64_t block, int64_t panel,
                 const float* products);
};

/// Best first; the last is always supported.
std::span<const Steps> all_steps();
/// conv3x3 by chosen steps: for tests and benchmarks.
[[nodiscard]] Status conv3x3_with(const Steps& steps, const Conv3x3Params& params, const Context& context);

}  // namespace mmada::kernels::winograd
