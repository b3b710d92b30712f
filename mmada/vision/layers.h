// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

namespace mmada::vision {

/// The parts of the MAGVIT-v2 network (SPEC 2): parameters with their forward; pictures are x_BCHW.

inline constexpr double kNormEps = 1e-6;

struct Conv {
  at::Tensor weight, bias;
  int64_t stride = 1;
  int64_t padding = 0;

  at::Tensor forward(const at::Tensor& x_BCHW) const;
};

struct Norm {
  at::Tensor weight, bias;
  int64_t groups = 32;

  at::Tensor forward(const at::Tensor& x_BCHW) const;
  at::Tensor forward_silu(const at::Tensor& x_BCHW) const;  ///< swish(GroupNorm(x))
};

struct ResnetBlock {
  Norm norm1;
  Conv conv1;
  Norm norm2;
  Conv conv2;
  std::optional<Conv> nin_shortcut;  ///< 1x1, where the channels change

  at::Tensor forward(const at::Tensor& x_BCHW) const;
};

/// Single-head self-attention over the positions, scale C^-1/2.
struct AttentionBlock {
  Norm norm;
  Conv q, k, v, proj_out;

  at::Tensor forward(const at::Tensor& x_BCHW) const;
};

struct Mid {
  ResnetBlock block_1;
  AttentionBlock attn_1;
  ResnetBlock block_2;

  at::Tensor forward(const at::Tensor& x_BCHW) const;
};

/// Residual blocks of one resolution, then (except at the last level visited) the change of resolution.
struct Level {
  std::vector<ResnetBlock> block;
  std::optional<Conv> resample;
};

struct Encoder {
  Conv conv_in;
  std::vector<Level> down;
  Mid mid;
  Norm norm_out;
  Conv conv_out, quant_conv;

  at::Tensor forward(const at::Tensor& image_B3HW) const;
};

struct Decoder {
  Conv post_quant_conv, conv_in;
  Mid mid;
  std::vector<Level> up;  ///< indexed by level: visited from the last to the first
  Norm norm_out;
  Conv conv_out;

  at::Tensor forward(const at::Tensor& latent_BChw) const;
};

/// Makes layers of one dtype, device and number of groups with uninitialised weights.
class LayerMaker {
 public:
  LayerMaker(at::TensorOptions options, int64_t norm_groups) : options_(options), groups_(norm_groups) {}

  Conv conv(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding) const;
  Norm norm(int64_t channels) const;
  ResnetBlock resnet_block(int64_t in, int64_t out) const;
  Mid mid(int64_t channels) const;

 private:
  at::TensorOptions options_;
  int64_t groups_;
};

}  // namespace mmada::vision
