// SPDX-License-Identifier: MIT
#include "mmada/vision/transforms.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "mmada/core/check.h"
#include "mmada/vision/resize.h"

namespace mmada {

namespace {

/// torchvision's Resize(R) for targets of any aspect: the side that has less to spare is matched.
Image cover(const Image& image, int64_t height, int64_t width) {
  const bool match_width = image.width * height < image.height * width;
  const int64_t scaled_width = match_width ? width : std::max(height * image.width / image.height, width);
  const int64_t scaled_height = match_width ? std::max(width * image.height / image.width, height) : height;
  return resize_bicubic(image, scaled_width, scaled_height);
}

/// The same with CenterCrop(R).
Image clip(const Image& image, int64_t height, int64_t width, bool floor) {
  // torchvision: round((size - target) / 2) with halves to even
  const auto margin = [=](int64_t spare) { return spare / 2 + (!floor && spare % 4 == 3 ? 1 : 0); };
  const Image scaled = cover(image, height, width);
  return crop(scaled, margin(scaled.width - width), margin(scaled.height - height), width, height);
}

/// The smallest picture of the target's aspect around this one.
Image pad(const Image& image, int64_t height, int64_t width, uint8_t padding) {
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  Image out{.width = std::max(image.width, up(image.height * width, height)),
            .height = std::max(image.height, up(image.width * height, width)),
            .channels = image.channels,
            .pixels = {},
            .source = image.source};
  check_passage(image, out.width, out.height);
  out.pixels.assign(static_cast<size_t>(out.width * out.height * out.channels), padding);
  const int64_t left = (out.width - image.width) / 2, top = (out.height - image.height) / 2;
  for (int64_t y = 0; y < image.height; ++y)
    std::copy(image.row(y), image.row(y) + image.width * image.channels,
              out.row(top + y) + left * out.channels);
  return out;
}

/// [channels, H, W] bytes.
at::Tensor planes(const Image& image) {
  const at::Tensor bytes = at::empty({image.height, image.width, image.channels}, at::kByte);
  std::copy(image.pixels.begin(), image.pixels.end(), bytes.mutable_data_ptr<uint8_t>());
  return bytes.permute({2, 0, 1}).contiguous();
}

}  // namespace

Fit fit_from_name(std::string_view name) {
  if (name == "clip") return Fit::kClip;
  if (name == "squash") return Fit::kSquash;
  if (name == "pad") return Fit::kPad;
  throw UsageError(cat("image fit: found `", name, "`, expected clip, squash or pad"));
}

Image fit_image(const Image& image, int64_t height, int64_t width, Fit fit, uint8_t padding) {
  MMADA_CHECK(image.width > 0 && image.height > 0 && height > 0 && width > 0,
              "image fit: found a picture of ", image.width, "x", image.height, " for a target of ", width,
              "x", height, ", expected at least 1x1");
  switch (fit) {
    case Fit::kClip:
    case Fit::kClipFloor:
      return clip(image, height, width, fit == Fit::kClipFloor);
    case Fit::kSquash:
      return resize_bicubic(image, width, height);
    case Fit::kPad:
      return resize_bicubic(pad(image, height, width, padding), width, height);
  }
  throw Error(cat("image fit: found number ", static_cast<int>(fit)));
}

at::Tensor scaled_pixels(const Image& image, int64_t height, int64_t width, Fit fit,
                         const ChannelScale& scale) {
  MMADA_CHECK(image.channels == 3 || image.channels == 1, "image: found ", image.channels,
              " channels, expected 3 (RGB) or 1 (grey)");
  const auto channels = [](const std::array<double, 3>& values) {
    return at::tensor(values, at::kFloat).view({3, 1, 1});
  };
  const at::Tensor shares = planes(fit_image(image, height, width, fit)).to(at::kFloat).div_(255);
  return shares.sub(channels(scale.mean)).div_(channels(scale.deviation));
}

at::Tensor image_to_tensor(const Image& image, int64_t height, int64_t width, Fit fit) {
  return scaled_pixels(image, height, width, fit, {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}});
}

at::Tensor cut_to_tensor(const Image& image, int64_t height, int64_t width, const Cut& cut) {
  MMADA_CHECK(height > 0 && width > 0 && image.width > 0 && image.height > 0, "picture to cut: found ",
              image.width, " x ", image.height, " and a target of ", width, " x ", height,
              ", expected positive sizes");
  const Image scaled = cover(image, height, width);
  const auto place = [](double share, int64_t spare) {
    return std::clamp(static_cast<int64_t>(share * static_cast<double>(spare + 1)), int64_t{0}, spare);
  };
  const Image part = crop(scaled, place(cut.across, scaled.width - width),
                          place(cut.down, scaled.height - height), width, height);
  return image_to_tensor(part, height, width);
}

Image tensor_to_image(const at::Tensor& pixels_3HW) {
  MMADA_CHECK(pixels_3HW.dim() == 3 && pixels_3HW.size(0) == 3, "picture: found shape ", pixels_3HW.sizes(),
              ", expected [3, H, W]");
  const at::Tensor bytes = pixels_3HW.detach()
                               .to(at::kCPU, at::kFloat)
                               .add(1)
                               .div_(2)
                               .clamp_(0, 1)
                               .mul_(255)
                               .nan_to_num_(0)
                               .to(at::kByte)
                               .permute({1, 2, 0})
                               .contiguous();
  Image image{.width = bytes.size(1), .height = bytes.size(0), .channels = 3, .pixels = {}};
  const uint8_t* data = bytes.const_data_ptr<uint8_t>();
  image.pixels.assign(data, data + bytes.numel());
  return image;
}

at::Tensor mask_to_tokens(const Image& mask, int64_t height, int64_t width, int64_t factor, Fit fit) {
  MMADA_CHECK(mask.channels == 1, "mask: found ", mask.channels, " channels, expected 1 (grey)");
  MMADA_CHECK(factor > 0 && height % factor == 0 && width % factor == 0, "mask: found size ", width, "x",
              height, ", expected multiples of ", factor);
  const at::Tensor grey =
      planes(fit_image(mask, height, width, fit, 0)).to(at::kFloat).div_(255).unsqueeze(0);
  const at::Tensor tokens =
      at::upsample_bicubic2d(grey, {height / factor, width / factor}, /*align_corners=*/false);
  return tokens.ge(0.5).squeeze(0).squeeze(0);
}

}  // namespace mmada
