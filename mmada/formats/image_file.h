// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mmada/formats/limits.h"

namespace mmada {

/// A decoded picture: 8-bit RGB (channels 3) or grey (1), row-major, interleaved [height, width, channels].
struct Image {
  int64_t width = 0;
  int64_t height = 0;
  int64_t channels = 3;
  std::vector<uint8_t> pixels;
  std::string source = {};  ///< what messages call it: the file it was read from; empty where it was made
  uint8_t* row(int64_t y) { return pixels.data() + y * width * channels; }
  const uint8_t* row(int64_t y) const { return pixels.data() + y * width * channels; }
};

/// Decodes PNG, JPEG or WebP (told apart by their bytes) to RGB as Pillow's convert("RGB") does: grey is
/// copied to the three channels, alpha is dropped, palettes are looked up, CMYK is combined without a colour
/// profile. One difference: 16-bit grey is cut to its high byte like 16-bit colour, where Pillow turns every
/// value above 255 white. Orientation tags and gamma are ignored, as there.
///
/// Sizes are checked against the limits, and against what so few bytes can hold, before anything is decoded.
/// Truncated or damaged data (where Pillow may return grey areas), animated WebP and arithmetic-coded JPEG
/// are errors. Memory is that of the result; interlaced nothing more, progressive JPEG up to twice, lossless
/// WebP 4/3 of it in addition. PNG data are inflated to the last row and no further. `source` names the
/// picture in errors.
Image decode_image(std::string_view bytes, const std::string& source, const Limits& limits = {});
Image read_image(const std::string& path, const Limits& limits = {});
/// A mask: decoded and reduced to one channel with the weights of Pillow's convert("L").
Image read_mask(const std::string& path, const Limits& limits = {});
/// One channel, (19595 R + 38470 G + 7471 B) / 65536 rounded; a grey picture comes back as it is.
Image to_grey(const Image& image);

/// PNG bytes with optional text entries (e.g. {"parameters", ...}): tEXt where the text is ASCII, iTXt
/// otherwise. Keys have 1 to 79 printable ASCII characters.
std::string encode_png(const Image& image, const std::map<std::string, std::string>& text = {});
/// JPEG without chroma subsampling; quality from 1 to 100. Text entries become comments "key: value".
std::string encode_jpeg(const Image& image, int quality = 95,
                        const std::map<std::string, std::string>& text = {});
/// Lossless WebP: reads back bit for bit.
std::string encode_webp(const Image& image);
/// Throws what write_image would for the name alone: an unknown ending (UsageError), a folder that is not
/// there. To be asked before hours of work end in it.
void check_image_path(const std::string& path);
/// Writes PNG, JPEG (.jpg, .jpeg) or WebP by the name's ending, atomically. WebP carries no text entries.
void write_image(const std::string& path, const Image& image,
                 const std::map<std::string, std::string>& text = {});

}  // namespace mmada
