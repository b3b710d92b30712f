// SPDX-License-Identifier: MIT
// PNG, JPEG and WebP through the one entry point; the corpus folder decides which format a run is about.
#include "mmada/core/check.h"
#include "mmada/formats/image_file.h"
#include "tests/fuzz/fuzz_target.h"

using namespace mmada;
using mmada::fuzz::promise;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Limits limits;
  limits.image_pixels = 1u << 14;
  limits.image_side = 1u << 10;
  try {
    const Image image = decode_image(fuzz::text_of(data, size), "picture", limits);
    promise(image.width >= 1 && image.width <= 1024 && image.height >= 1 && image.height <= 1024,
            "sides are within limits");
    promise(image.width * image.height <= 1 << 14, "the area is within limits");
    promise(image.channels == 3 && image.pixels.size() == static_cast<size_t>(image.width * image.height * 3),
            "every pixel is there");
    promise(to_grey(image).pixels.size() * 3 == image.pixels.size(), "grey has a third of the bytes");
  } catch (const Error&) {
  }
  return 0;
}
