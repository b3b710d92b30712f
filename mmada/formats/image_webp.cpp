// SPDX-License-Identifier: MIT
#include <webp/decode.h>
#include <webp/encode.h>

#include <iterator>
#include <memory>

#include "mmada/core/check.h"
#include "mmada/formats/image_codec.h"

namespace mmada {
namespace {

std::string_view status_text(VP8StatusCode status) {
  constexpr std::string_view kTexts[] = {"no error",          "out of memory",       "invalid parameter",
                                         "broken bit stream", "unsupported feature", "the file ends early",
                                         "aborted",           "the file ends early"};  // in the enum's order
  return static_cast<size_t>(status) < std::size(kTexts) ? kTexts[status] : "unknown status";
}

}  // namespace

namespace codec {

Image decode_webp(std::string_view bytes, const std::string& source, const Limits& limits) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPDecoderConfig config;
  MMADA_CHECK(WebPInitDecoderConfig(&config) != 0, source,
              ": the WebP decoder has another version than its header");
  auto status = WebPGetFeatures(data, bytes.size(), &config.input);
  MMADA_CHECK(status == VP8_STATUS_OK, source, ": not a valid WebP picture: ", status_text(status));
  MMADA_CHECK(!config.input.has_animation, source, ": found an animated WebP, expected a still picture");
  Image image = allocate_rgb(static_cast<uint64_t>(config.input.width),
                             static_cast<uint64_t>(config.input.height), source, limits);
  config.output.colorspace = MODE_RGB;  // alpha is dropped, not multiplied in
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.pixels.data();
  config.output.u.RGBA.stride = static_cast<int>(image.width * 3);
  config.output.u.RGBA.size = image.pixels.size();
  status = WebPDecode(data, bytes.size(), &config);
  WebPFreeDecBuffer(&config.output);
  MMADA_CHECK(status == VP8_STATUS_OK, source, ": damaged WebP picture: ", status_text(status));
  return image;
}

}  // namespace codec

std::string encode_webp(const Image& image) {
  codec::check_encodable(image, "WebP", WEBP_MAX_DIMENSION);
  std::vector<uint8_t> spread;
  const uint8_t* rgb = image.pixels.data();
  if (image.channels == 1) {  // WebP has no grey
    for (const uint8_t value : image.pixels) spread.insert(spread.end(), 3, value);
    rgb = spread.data();
  }
  uint8_t* encoded = nullptr;
  const size_t size =
      WebPEncodeLosslessRGB(rgb, static_cast<int>(image.width), static_cast<int>(image.height),
                            static_cast<int>(image.width * 3), &encoded);
  const std::unique_ptr<uint8_t, void (*)(void*)> owner(encoded, &WebPFree);
  MMADA_CHECK(size > 0, "WebP: encoding failed");
  return std::string(reinterpret_cast<const char*>(encoded), size);
}

}  // namespace mmada
