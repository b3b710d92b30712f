// SPDX-License-Identifier: MIT
#include "mmada/vision/layers.h"

#include <ATen/ATen.h>

#include <cmath>

namespace mmada::vision {

namespace {

/// Downsample (SPEC 2): zeros on the right and the bottom only, then a stride-2 convolution without padding.
at::Tensor downsample(const at::Tensor& x_BCHW, const Conv& conv) {
  return conv.forward(at::constant_pad_nd(x_BCHW, {0, 1, 0, 1}));
}

at::Tensor upsample(const at::Tensor& x_BCHW, const Conv& conv) {
  return conv.forward(at::upsample_nearest2d(x_BCHW, {x_BCHW.size(2) * 2, x_BCHW.size(3) * 2}));
}

}  // namespace

at::Tensor Conv::forward(const at::Tensor& x_BCHW) const {
  return at::conv2d(x_BCHW, weight, bias, stride, padding);
}

at::Tensor Norm::forward(const at::Tensor& x_BCHW) const {
  return at::group_norm(x_BCHW, groups, weight, bias, kNormEps);
}

at::Tensor Norm::forward_silu(const at::Tensor& x_BCHW) const { return at::silu(forward(x_BCHW)); }

at::Tensor ResnetBlock::forward(const at::Tensor& x_BCHW) const {
  const at::Tensor hidden = conv1.forward(norm1.forward_silu(x_BCHW));
  const at::Tensor residual = conv2.forward(norm2.forward_silu(hidden));
  return residual + (nin_shortcut ? nin_shortcut->forward(x_BCHW) : x_BCHW);
}

at::Tensor AttentionBlock::forward(const at::Tensor& x_BCHW) const {
  const at::Tensor h = norm.forward(x_BCHW);
  // [B, C, H, W] -> [B, 1 head, H*W, C]
  const auto positions = [](const at::Tensor& t) { return t.flatten(2).transpose(1, 2).unsqueeze(1); };
  const at::Tensor mixed = at::scaled_dot_product_attention(positions(q.forward(h)), positions(k.forward(h)),
                                                            positions(v.forward(h)));
  return x_BCHW + proj_out.forward(mixed.squeeze(1).transpose(1, 2).reshape(x_BCHW.sizes()));
}

at::Tensor Mid::forward(const at::Tensor& x_BCHW) const {
  return block_2.forward(attn_1.forward(block_1.forward(x_BCHW)));
}

at::Tensor Encoder::forward(const at::Tensor& image_B3HW) const {
  at::Tensor x = conv_in.forward(image_B3HW);
  for (const Level& level : down) {
    for (const ResnetBlock& block : level.block) x = block.forward(x);
    if (level.resample) x = downsample(x, *level.resample);
  }
  x = conv_out.forward(norm_out.forward_silu(mid.forward(x)));
  return quant_conv.forward(x);
}

at::Tensor Decoder::forward(const at::Tensor& latent_BChw) const {
  at::Tensor x = mid.forward(conv_in.forward(post_quant_conv.forward(latent_BChw)));
  for (auto level = up.rbegin(); level != up.rend(); ++level) {
    for (const ResnetBlock& block : level->block) x = block.forward(x);
    if (level->resample) x = upsample(x, *level->resample);
  }
  return conv_out.forward(norm_out.forward_silu(x));
}

Conv LayerMaker::conv(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding) const {
  return {at::empty({out, in, kernel, kernel}, options_), at::empty({out}, options_), stride, padding};
}

Norm LayerMaker::norm(int64_t channels) const {
  return {at::empty({channels}, options_), at::empty({channels}, options_), groups_};
}

ResnetBlock LayerMaker::resnet_block(int64_t in, int64_t out) const {
  return {norm(in), conv(in, out, 3, 1, 1), norm(out), conv(out, out, 3, 1, 1),
          in == out ? std::nullopt : std::optional(conv(in, out, 1, 1, 0))};
}

Mid LayerMaker::mid(int64_t channels) const {
  const auto point = [&] { return conv(channels, channels, 1, 1, 0); };
  return {resnet_block(channels, channels),
          {norm(channels), point(), point(), point(), point()},
          resnet_block(channels, channels)};
}

}  // namespace mmada::vision
