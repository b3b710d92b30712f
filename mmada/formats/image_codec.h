// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "mmada/formats/image_file.h"

namespace mmada::codec {

// One decoder per format, each in a file of its own; decode_image chooses.
Image decode_png(std::string_view bytes, const std::string& source, const Limits& limits);
Image decode_jpeg(std::string_view bytes, const std::string& source, const Limits& limits);
Image decode_webp(std::string_view bytes, const std::string& source, const Limits& limits);

/// An RGB picture of this size, after comparing it with the limits.
Image allocate_rgb(uint64_t width, uint64_t height, const std::string& source, const Limits& limits);
/// Compares a declared size with the limits.
void check_size(uint64_t width, uint64_t height, const std::string& source, const Limits& limits);
/// An encoder's input: 1 or 3 channels, both sides within [1, max_side], as many bytes as they say.
void check_encodable(const Image& image, std::string_view format, int64_t max_side);

}  // namespace mmada::codec
