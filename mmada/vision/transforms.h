// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string_view>

#include "mmada/formats/image_file.h"

namespace mmada {

/// SPEC 2, input transforms: how a picture is brought to another size and aspect.
enum class Fit {
  kClip,       ///< scaled to cover the target, the middle cut out
  kClipFloor,  ///< the same with half a pixel too much rounded down, as transformers' image processors cut
  kSquash,     ///< scaled to the target whatever the aspect
  kPad,        ///< padded with white to the target's aspect, picture in the middle, then scaled
};
Fit fit_from_name(std::string_view name);  ///< "clip", "squash", "pad"

/// The resized picture in 8 bits, every step as Pillow and torchvision do it (bit for bit). `padding` is the
/// grey value that kPad adds.
Image fit_image(const Image& image, int64_t height, int64_t width, Fit fit = Fit::kClip,
                uint8_t padding = 255);
/// fit_image as a tensor [3, height, width] fp32 in [-1, 1] (SPEC 2: x / 255, then (x - 0.5) / 0.5); grey
/// becomes RGB.
at::Tensor image_to_tensor(const Image& image, int64_t height, int64_t width, Fit fit = Fit::kClip);
/// How pixels x / 255 become a network's input: (x - mean) / deviation in each channel.
struct ChannelScale {
  std::array<double, 3> mean = {}, deviation = {};
};
/// Of CLIP and what was made from it.
inline constexpr ChannelScale kClipScale = {{0.48145466, 0.4578275, 0.40821073},
                                            {0.26862954, 0.26130258, 0.27577711}};
/// image_to_tensor under another scale.
at::Tensor scaled_pixels(const Image& image, int64_t height, int64_t width, Fit fit,
                         const ChannelScale& scale);
/// Augmentation for training (SPEC 2): scaled as by kClip, a part cut out anywhere.
struct Cut {
  double across = 0.5, down = 0.5;  ///< where: shares, in [0, 1), of the pixels to spare in each direction
};
/// A picture [3, height, width] as image_to_tensor's. Every place is as likely for uniform shares.
at::Tensor cut_to_tensor(const Image& image, int64_t height, int64_t width, const Cut& cut);
/// [3, H, W] in [-1, 1] -> 8-bit picture: clamp((x+1)/2, 0, 1) * 255, truncated (SPEC 2).
Image tensor_to_image(const at::Tensor& pixels_3HW);
/// A mask picture (grey; light parts are to be redrawn) -> bool [height/factor, width/factor] of image
/// tokens: same resize and crop as the picture, torch's bicubic interpolation down to the token grid, >= 0.5
/// (SPEC 5.3). What kPad adds is not redrawn.
at::Tensor mask_to_tokens(const Image& mask, int64_t height, int64_t width, int64_t factor,
                          Fit fit = Fit::kClip);

}  // namespace mmada
