// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>

#include "mmada/formats/image_file.h"

namespace mmada {

/// SPEC 2, input transforms.
enum class Fit { kClip, kSquash, kPad };
Fit fit_from_name(std::string_view name);

/// Resizes (Pillow's antialiased bicubic) and crops or pads to [3, height, width] fp32 in [-1, 1].
at::Tensor image_to_tensor(const Image& image, int64_t height, int64_t width, Fit fit = Fit::kClip);
/// [3, H, W] in [-1, 1] -> 8-bit picture: clamp((x+1)/2, 0, 1) * 255, truncated (SPEC 2).
Image tensor_to_image(const at::Tensor& pixels_3HW);
/// A mask picture -> bool [rows, columns] of image tokens to be redrawn (SPEC 5.3): same resize and crop as
/// the picture, bicubic down to the token grid, >= 0.5.
at::Tensor mask_to_tokens(const Image& mask, int64_t height, int64_t width, int64_t factor,
                          Fit fit = Fit::kClip);

}  // namespace mmada
