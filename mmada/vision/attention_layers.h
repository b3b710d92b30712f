// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace mmada::vision {

/// The parts of the networks that judge pictures (CLIP, ImageReward): parameters with their forward.

struct Linear {
  at::Tensor weight, bias;  ///< [out, in]; [out] or undefined

  at::Tensor forward(const at::Tensor& x) const;
};

struct LayerNorm {
  at::Tensor weight, bias;  ///< [D]
  double eps = 1e-5;

  at::Tensor forward(const at::Tensor& x_BTD) const;
};

enum class Activation {
  kGelu,       ///< with the error function
  kQuickGelu,  ///< x sigmoid(1.702 x)
};

/// What a position may look at.
enum class Reach { kAll, kBefore };

/// Attention in `heads` heads, scale by the root of a head's width: [B, T, D] of queries [B, T, D], keys and
/// values [B, S, D]. `mask_B11S` is added to the scores where defined; it goes with Reach::kAll.
at::Tensor attend(const at::Tensor& q_BTD, const at::Tensor& k_BSD, const at::Tensor& v_BSD, int64_t heads,
                  Reach reach, const at::Tensor& mask_B11S = {});

struct BlockShape {
  int64_t width = 0, inner = 0, heads = 0;
  double eps = 1e-5;
  Activation activation = Activation::kGelu;
};

/// A stack of blocks.
struct Tower {
  BlockShape block;
  int64_t layers = 12;
};

/// x + attention(norm1(x)), then x + fc2(activation(fc1(norm2(x)))).
struct PreNormBlock {
  LayerNorm norm1, norm2;
  Linear q, k, v, out, fc1, fc2;
  int64_t heads = 1;
  Activation activation = Activation::kGelu;

  at::Tensor forward(const at::Tensor& x_BTD, Reach reach) const;
};

at::Tensor activate(const at::Tensor& x, Activation activation);

/// Layers with uninitialised weights.
Linear make_linear(int64_t in, int64_t out, at::TensorOptions options, bool bias = true);
LayerNorm make_layer_norm(int64_t width, double eps, at::TensorOptions options);
PreNormBlock make_block(const BlockShape& shape, at::TensorOptions options);

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;
/// Appends NAME.weight and NAME.bias.
void append(NamedTensors& list, const std::string& name, const Linear& layer);
void append(NamedTensors& list, const std::string& name, const LayerNorm& layer);

}  // namespace mmada::vision
