// SPDX-License-Identifier: MIT
#include "mmada/formats/image_file.h"

#include <algorithm>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/image_codec.h"

namespace mmada {
namespace {

using namespace std::string_view_literals;

bool is_webp(std::string_view bytes) {
  return bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP");
}

std::string ending_of(const std::string& path) {
  const auto dot = path.find_last_of("./");
  if (dot == std::string::npos || path[dot] == '/') return "";
  std::string ending = path.substr(dot);
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending;
}

}  // namespace

namespace codec {

void check_size(uint64_t width, uint64_t height, const std::string& source, const Limits& limits) {
  MMADA_CHECK(width >= 1 && height >= 1 && width <= limits.image_side && height <= limits.image_side, source,
              ": found a picture of ", width, "x", height, ", expected sides from 1 to ", limits.image_side);
  MMADA_CHECK(width * height <= limits.image_pixels, source, ": found a picture of ", width, "x", height,
              " = ", width * height, " pixels, expected at most ", limits.image_pixels);
}

Image allocate_rgb(uint64_t width, uint64_t height, const std::string& source, const Limits& limits) {
  check_size(width, height, source, limits);
  Image image{.width = static_cast<int64_t>(width),
              .height = static_cast<int64_t>(height),
              .channels = 3,
              .pixels = {},
              .source = source};
  image.pixels.resize(width * height * 3);
  return image;
}

void check_encodable(const Image& image, std::string_view format, int64_t max_side) {
  MMADA_CHECK(image.channels == 1 || image.channels == 3, format, ": found ", image.channels,
              " channels, expected 1 or 3");
  MMADA_CHECK(image.width >= 1 && image.height >= 1 && image.width <= max_side && image.height <= max_side,
              format, ": found a picture of ", image.width, "x", image.height, ", expected sides from 1 to ",
              max_side);
  const auto bytes = static_cast<size_t>(image.width * image.height * image.channels);
  MMADA_CHECK(image.pixels.size() == bytes, format, ": found ", image.pixels.size(),
              " bytes of pixels, expected ", bytes);
}

}  // namespace codec

Image decode_image(std::string_view bytes, const std::string& source, const Limits& limits) {
  MMADA_CHECK(bytes.size() <= limits.image_file_bytes, source, ": found ", bytes.size(),
              " bytes, expected at most ", limits.image_file_bytes);
  if (bytes.starts_with("\x89PNG\r\n\x1a\n"sv)) return codec::decode_png(bytes, source, limits);
  if (bytes.starts_with("\xFF\xD8\xFF"sv)) return codec::decode_jpeg(bytes, source, limits);
  if (is_webp(bytes)) return codec::decode_webp(bytes, source, limits);
  throw Error(cat(source, ": found ",
                  bytes.empty() ? "an empty file" : "a file that begins with " + quote(bytes.substr(0, 8)),
                  ", expected a PNG, JPEG or WebP picture"));
}

Image read_image(const std::string& path, const Limits& limits) {
  return decode_image(read_file(path, limits.image_file_bytes), path, limits);
}

Image read_mask(const std::string& path, const Limits& limits) { return to_grey(read_image(path, limits)); }

Image to_grey(const Image& image) {
  if (image.channels == 1) return image;
  Image grey{
      .width = image.width, .height = image.height, .channels = 1, .pixels = {}, .source = image.source};
  grey.pixels.resize(image.pixels.size() / 3);
  for (size_t i = 0; i < grey.pixels.size(); ++i) {
    const uint8_t* rgb = image.pixels.data() + 3 * i;
    grey.pixels[i] =
        static_cast<uint8_t>((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
  }
  return grey;
}

void write_image(const std::string& path, const Image& image,
                 const std::map<std::string, std::string>& text) {
  check_image_path(path);
  const std::string ending = ending_of(path);
  if (ending == ".png") return write_file(path, encode_png(image, text));
  if (ending == ".jpg" || ending == ".jpeg") return write_file(path, encode_jpeg(image, 95, text));
  return write_file(path, encode_webp(image));
}

void check_image_path(const std::string& path) {
  const std::string ending = ending_of(path);
  const bool known = ending == ".png" || ending == ".jpg" || ending == ".jpeg" || ending == ".webp";
  if (!known)
    throw UsageError(
        cat(path, ": found the ending ", quote(ending), ", expected .png, .jpg, .jpeg or .webp"));
  const auto folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  MMADA_CHECK(folder.empty() || std::filesystem::is_directory(folder, error), path, ": found no folder ",
              quote(folder.string()), ", expected one that exists");
}

}  // namespace mmada
