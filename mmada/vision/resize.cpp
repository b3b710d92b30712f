// SPDX-License-Identifier: MIT
#include "mmada/vision/resize.h"

#include <algorithm>
#include <cmath>

#include "mmada/core/check.h"

namespace mmada {

namespace {

constexpr int kPrecisionBits =
    32 - 8 - 2;                   // Pillow's: 8 bits of result, 2 of room for filters that overshoot
constexpr double kSupport = 2.0;  // of the bicubic filter, in source pixels at scale 1

/// Keys' cubic convolution with a = -1/2.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

/// One output pixel along an axis: the source pixels it sees and their weights in fixed point.
struct Tap {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

std::vector<Tap> make_taps(int64_t source, int64_t target) {
  const double scale = static_cast<double>(source) / static_cast<double>(target);
  const double filter_scale = std::max(scale, 1.0);
  const double support = kSupport * filter_scale;
  std::vector<Tap> taps(static_cast<size_t>(target));
  std::vector<double> weights;
  for (int64_t i = 0; i < target; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t last = std::min(static_cast<int64_t>(center + support + 0.5), source);
    weights.clear();
    double total = 0;
    for (int64_t x = first; x < last; ++x) {
      weights.push_back(bicubic((static_cast<double>(x) - center + 0.5) * (1.0 / filter_scale)));
      total += weights.back();
    }
    taps[i].first = first;
    for (double weight : weights) {
      if (total != 0.0) weight /= total;
      const double fixed = weight * (1 << kPrecisionBits);
      taps[i].weights.push_back(static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return taps;
}

uint8_t to_pixel(int32_t fixed) { return static_cast<uint8_t>(std::clamp(fixed >> kPrecisionBits, 0, 255)); }

constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

Image resize_rows(const Image& image, int64_t width) {
  const std::vector<Tap> taps = make_taps(image.width, width);
  const int64_t channels = image.channels;
  Image out{.width = width, .height = image.height, .channels = channels, .pixels = {}};
  out.pixels.resize(static_cast<size_t>(width * image.height * channels));
  for (int64_t y = 0; y < image.height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < channels; ++c) {
        const uint8_t* source = image.row(y) + taps[x].first * channels + c;
        int32_t sum = kHalf;
        for (const int32_t weight : taps[x].weights) {
          sum += *source * weight;
          source += channels;
        }
        out.row(y)[x * channels + c] = to_pixel(sum);
      }
  return out;
}

Image resize_columns(const Image& image, int64_t height) {
  const std::vector<Tap> taps = make_taps(image.height, height);
  const int64_t stride = image.width * image.channels;
  Image out{.width = image.width, .height = height, .channels = image.channels, .pixels = {}};
  out.pixels.resize(static_cast<size_t>(stride * height));
  std::vector<int32_t> sums(static_cast<size_t>(stride));
  for (int64_t y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), kHalf);
    for (size_t k = 0; k < taps[y].weights.size(); ++k) {
      const uint8_t* source = image.row(taps[y].first + static_cast<int64_t>(k));
      const int32_t weight = taps[y].weights[k];
      for (int64_t i = 0; i < stride; ++i) sums[i] += source[i] * weight;
    }
    std::transform(sums.begin(), sums.end(), out.row(y), to_pixel);
  }
  return out;
}

void check_picture(const Image& image, int64_t width, int64_t height) {
  MMADA_CHECK(image.width > 0 && image.height > 0 &&
                  std::ssize(image.pixels) == image.width * image.height * image.channels,
              "resize: found a picture of ", image.width, "x", image.height, "x", image.channels, " with ",
              image.pixels.size(), " bytes");
  MMADA_CHECK(width > 0 && height > 0, "resize: found size ", width, "x", height, ", expected at least 1x1");
}

}  // namespace

void check_passage(const Image& image, int64_t width, int64_t height) {
  const auto most = static_cast<int64_t>(Limits{}.image_pixels);
  MMADA_CHECK(width <= most / height, image.source.empty() ? "resize" : image.source, ": found a picture of ",
              image.width, "x", image.height, ", which would pass through ", width, "x", height,
              ", expected at most ", most, " pixels on the way");
}

Image resize_bicubic(const Image& image, int64_t width, int64_t height) {
  check_picture(image, width, height);
  check_passage(image, width, std::max(height, image.height));  // columns are resized last
  const Image* current = &image;
  Image wide, done;
  if (width != image.width) current = &(wide = resize_rows(image, width));
  if (height != image.height) current = &(done = resize_columns(*current, height));
  return *current;
}

Image crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height) {
  MMADA_CHECK(left >= 0 && top >= 0 && width > 0 && height > 0 && left + width <= image.width &&
                  top + height <= image.height,
              "crop: found ", width, "x", height, " at ", left, ",", top, ", expected a part of ",
              image.width, "x", image.height);
  Image out{.width = width, .height = height, .channels = image.channels, .pixels = {}};
  out.pixels.resize(static_cast<size_t>(width * height * image.channels));
  for (int64_t y = 0; y < height; ++y) {
    const uint8_t* source = image.row(top + y) + left * image.channels;
    std::copy(source, source + width * image.channels, out.row(y));
  }
  return out;
}

}  // namespace mmada
