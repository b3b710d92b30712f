// SPDX-License-Identifier: MIT
#pragma once

#include "mmada/formats/image_file.h"

namespace mmada {

/// Pillow's Image.resize(size, BICUBIC) for 8-bit pictures, bit for bit: antialiased (the filter widens when
/// shrinking), a = -1/2, rows first and then columns, in 10.22 fixed point, each pass rounded to 8 bits.
/// (Pillow 13 takes the columns first where that is cheaper; the published system's Pillow never did.)
Image resize_bicubic(const Image& image, int64_t width, int64_t height);
/// Throws where a picture on the way from this one to a result would exceed Limits::image_pixels: a long and
/// narrow picture holds few pixels, but its way to another aspect may lead through very many. Names the
/// picture's source.
void check_passage(const Image& image, int64_t width, int64_t height);

/// The part of the picture from (left, top) on.
Image crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height);

}  // namespace mmada
