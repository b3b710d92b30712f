// SPDX-License-Identifier: MIT
#include "mmada/vision/fused.h"

#include <ATen/ATen.h>

#include <array>

#include "mmada/ops/conv3x3.h"
#include "mmada/ops/conv_sum.h"
#include "mmada/ops/group_norm_silu.h"

namespace mmada::vision {

namespace {

bool has_conv3x3(const Conv& conv, const at::Tensor& x_BCHW) {
  return conv.stride == 1 && conv.padding == 1 && conv3x3_has_kernel(x_BCHW, conv.weight);
}

/// sum += conv(x).
void add_convolution(at::Tensor& sum_BOHW, const Conv& conv, const at::Tensor& x_BCHW) {
  if (has_conv3x3(conv, x_BCHW)) {
    conv3x3_add(sum_BOHW, x_BCHW, conv.weight, conv.bias);
  } else {
    conv_sum(sum_BOHW, x_BCHW, conv.weight, conv.bias, conv.stride, conv.padding);
  }
}

/// Memory that the layers of one forward share. A picture taken from a slot is good until the slot is taken
/// again.
class Pictures {
 public:
  enum Slot { kStream, kOtherStream, kNormed, kHidden };

  explicit Pictures(at::TensorOptions options) : options_(options) {}

  /// An uninitialised channels-last picture.
  at::Tensor take(Slot slot, int64_t batch, int64_t channels, int64_t height, int64_t width) {
    const int64_t count = batch * channels * height * width;
    at::Tensor& memory = memory_[slot];
    if (!memory.defined() || memory.numel() < count) memory = at::empty({count}, options_);
    return memory.narrow(0, 0, count).view({batch, height, width, channels}).permute({0, 3, 1, 2});
  }
  at::Tensor take_like(Slot slot, const at::Tensor& x_BCHW) {
    return take(slot, x_BCHW.size(0), x_BCHW.size(1), x_BCHW.size(2), x_BCHW.size(3));
  }

  /// conv(x) in a slot's memory.
  at::Tensor convolve(Slot slot, const Conv& conv, const at::Tensor& x_BCHW) {
    const bool is_conv3x3 = has_conv3x3(conv, x_BCHW);
    if (!is_conv3x3 && !conv_sum_is_fused(x_BCHW)) return conv.forward(x_BCHW);
    const int64_t kernel = conv.weight.size(2);
    const auto size = [&](int64_t side) { return (side + 2 * conv.padding - kernel) / conv.stride + 1; };
    at::Tensor out =
        take(slot, x_BCHW.size(0), conv.weight.size(0), size(x_BCHW.size(2)), size(x_BCHW.size(3)));
    if (is_conv3x3) {
      conv3x3_out(out, x_BCHW, conv.weight, conv.bias);
    } else {
      out.zero_();
      conv_sum(out, x_BCHW, conv.weight, conv.bias, conv.stride, conv.padding);
    }
    return out;
  }

  at::Tensor norm_silu(Slot slot, const Norm& norm, const at::Tensor& x_BCHW) {
    if (!group_norm_silu_is_fused(x_BCHW)) return norm.forward_silu(x_BCHW);
    at::Tensor out = take_like(slot, x_BCHW);
    group_norm_silu_out(out, x_BCHW, norm.weight, norm.bias, norm.groups, kNormEps);
    return out;
  }

 private:
  at::TensorOptions options_;
  std::array<at::Tensor, 4> memory_;
};

/// A picture on its way through the network, and which of the two stream slots it lies in.
struct Stream {
  at::Tensor x_BCHW;
  Pictures::Slot slot = Pictures::kStream;

  Pictures::Slot other() const {
    return slot == Pictures::kStream ? Pictures::kOtherStream : Pictures::kStream;
  }
  void move_to_other(at::Tensor x) {
    slot = other();
    x_BCHW = std::move(x);
  }
};

void run(const ResnetBlock& block, Stream& stream, Pictures& pictures) {
  const at::Tensor normed = pictures.norm_silu(Pictures::kNormed, block.norm1, stream.x_BCHW);
  const at::Tensor hidden = pictures.convolve(Pictures::kHidden, block.conv1, normed);
  const at::Tensor normed_hidden = pictures.norm_silu(Pictures::kNormed, block.norm2, hidden);
  if (block.nin_shortcut)
    stream.move_to_other(pictures.convolve(stream.other(), *block.nin_shortcut, stream.x_BCHW));
  add_convolution(stream.x_BCHW, block.conv2, normed_hidden);
}

void run(const Mid& mid, Stream& stream, Pictures& pictures) {
  run(mid.block_1, stream, pictures);
  stream.x_BCHW.copy_(mid.attn_1.forward(stream.x_BCHW));
  run(mid.block_2, stream, pictures);
}

at::Tensor channels_last(const at::Tensor& x_BCHW) {
  return x_BCHW.contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace

at::Tensor fused_forward(const Encoder& encoder, const at::Tensor& image_B3HW) {
  Pictures pictures(image_B3HW.options());
  Stream stream;
  stream.x_BCHW = pictures.convolve(stream.slot, encoder.conv_in, channels_last(image_B3HW));
  for (const Level& level : encoder.down) {
    for (const ResnetBlock& block : level.block) run(block, stream, pictures);
    if (!level.resample) continue;
    const at::Tensor x = stream.x_BCHW;
    at::Tensor padded = pictures.take(Pictures::kNormed, x.size(0), x.size(1), x.size(2) + 1, x.size(3) + 1);
    padded.narrow(2, x.size(2), 1).zero_();
    padded.narrow(3, x.size(3), 1).zero_();
    padded.narrow(2, 0, x.size(2)).narrow(3, 0, x.size(3)).copy_(x);
    stream.move_to_other(pictures.convolve(stream.other(), *level.resample, padded));
  }
  run(encoder.mid, stream, pictures);
  const at::Tensor normed = pictures.norm_silu(Pictures::kNormed, encoder.norm_out, stream.x_BCHW);
  return encoder.quant_conv.forward(encoder.conv_out.forward(normed)).contiguous();
}

at::Tensor fused_forward(const Decoder& decoder, const at::Tensor& latent_BChw) {
  Pictures pictures(latent_BChw.options());
  Stream stream;
  stream.x_BCHW = pictures.convolve(stream.slot, decoder.conv_in,
                                    channels_last(decoder.post_quant_conv.forward(latent_BChw)));
  run(decoder.mid, stream, pictures);
  for (auto level = decoder.up.rbegin(); level != decoder.up.rend(); ++level) {
    for (const ResnetBlock& block : level->block) run(block, stream, pictures);
    if (!level->resample) continue;
    const at::Tensor x = stream.x_BCHW;
    at::Tensor wide = pictures.take(Pictures::kNormed, x.size(0), x.size(1), x.size(2) * 2, x.size(3) * 2);
    at::upsample_nearest2d_out(wide, x, {x.size(2) * 2, x.size(3) * 2});
    stream.move_to_other(pictures.convolve(stream.other(), *level->resample, wide));
  }
  const at::Tensor normed = pictures.norm_silu(Pictures::kNormed, decoder.norm_out, stream.x_BCHW);
  return decoder.conv_out.forward(normed).contiguous();
}

}  // namespace mmada::vision
