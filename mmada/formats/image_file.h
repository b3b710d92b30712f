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
  uint8_t* row(int64_t y) { return pixels.data() + y * width * channels; }
  const uint8_t* row(int64_t y) const { return pixels.data() + y * width * channels; }
};

/// Decodes PNG, JPEG or WebP (told apart by their bytes) to RGB as Pillow's convert("RGB") does: grey is
/// copied to the three channels, alpha is dropped, 16-bit is cut to its high byte, palettes are looked up.
/// Sizes are checked against the limits before anything is decoded. `source` names the picture in errors.
Image decode_image(std::string_view bytes, const std::string& source, const Limits& limits = {});
Image read_image(const std::string& path, const Limits& limits = {});
/// A mask: decoded and reduced to one channel with Pillow's convert("L") weights.
Image read_mask(const std::string& path, const Limits& limits = {});

/// PNG bytes with optional tEXt entries (e.g. {"parameters", ...}).
std::string encode_png(const Image& image, const std::map<std::string, std::string>& text = {});
/// Writes PNG, JPEG (.jpg, .jpeg) or WebP by the name's ending, atomically.
void write_image(const std::string& path, const Image& image,
                 const std::map<std::string, std::string>& text = {});

}  // namespace mmada
