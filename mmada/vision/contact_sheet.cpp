// SPDX-License-Identifier: MIT
#include "mmada/vision/contact_sheet.h"

#include <algorithm>

#include "mmada/core/check.h"

namespace mmada {
namespace {

void paste(const Image& image, int64_t left, int64_t top, int64_t scale, Image& sheet) {
  for (int64_t y = 0; y < image.height * scale; ++y)
    for (int64_t x = 0; x < image.width * scale; ++x) {
      const uint8_t* from = image.row(y / scale) + x / scale * image.channels;
      uint8_t* to = sheet.row(top + y) + (left + x) * 3;
      for (int64_t c = 0; c < 3; ++c) to[c] = from[image.channels == 1 ? 0 : c];
    }
}

}  // namespace

Image contact_sheet(const std::vector<Image>& images, const ContactSheetOptions& options) {
  MMADA_CHECK(!images.empty(), "contact sheet: found no picture, expected at least one");
  MMADA_CHECK(options.columns >= 1 && options.scale >= 1 && options.gap >= 0, "contact sheet: found ",
              options.columns, " columns, scale ", options.scale, ", gap ", options.gap,
              ", expected at least 1, 1 and 0");
  int64_t width = 0, height = 0;
  for (const auto& image : images) {
    MMADA_CHECK(image.channels == 1 || image.channels == 3, "contact sheet: found a picture with ",
                image.channels, " channels, expected 1 or 3");
    width = std::max(width, image.width * options.scale);
    height = std::max(height, image.height * options.scale);
  }
  const auto count = static_cast<int64_t>(images.size());
  const int64_t columns = std::min(options.columns, count), rows = (count + columns - 1) / columns;
  Image sheet{.width = columns * (width + options.gap) + options.gap,
              .height = rows * (height + options.gap) + options.gap,
              .channels = 3,
              .pixels = {}};
  sheet.pixels.resize(static_cast<size_t>(sheet.width * sheet.height * 3));
  for (size_t i = 0; i < sheet.pixels.size(); ++i) sheet.pixels[i] = options.background[i % 3];
  for (int64_t i = 0; i < count; ++i)
    paste(images[i], options.gap + i % columns * (width + options.gap),
          options.gap + i / columns * (height + options.gap), options.scale, sheet);
  return sheet;
}

}  // namespace mmada
