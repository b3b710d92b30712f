// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mmada/formats/image_file.h"

namespace mmada::plot {

struct Colour {
  uint8_t red = 0, green = 0, blue = 0;
  bool operator==(const Colour&) const = default;
};

/// In pixels from the left and the top; whole numbers are corners between pixels.
struct Point {
  double x = 0.0, y = 0.0;
};

enum class Align { kLeft, kCentre, kRight };

/// A white picture that takes lines, discs, rectangles and text, with smooth edges: FreeType's stroker and
/// rasterizer draw them all, the letters are those of DejaVu Sans. Nothing is drawn beyond the picture.
class Canvas {
 public:
  Canvas(int64_t width, int64_t height);
  ~Canvas();
  Canvas(const Canvas&) = delete;
  Canvas& operator=(const Canvas&) = delete;

  /// A line through the points with round joins and ends; `opacity` in [0, 1].
  void polyline(const std::vector<Point>& points, double width, Colour colour, double opacity = 1.0);
  void disc(Point centre, double radius, Colour colour);
  /// Whole pixels [left, left + width) x [top, top + height).
  void rectangle(int64_t left, int64_t top, int64_t width, int64_t height, Colour colour);
  /// One line of UTF-8 text `size` pixels high on the baseline through `at`; control characters are shown as
  /// \xNN. Returns its width in pixels.
  double text(const std::string& text, Point at, double size, Colour colour, Align align = Align::kLeft);
  double text_width(const std::string& text, double size);

  const Image& image() const { return image_; }

 private:
  struct FreeType;
  Image image_;
  std::unique_ptr<FreeType> freetype_;
};

}  // namespace mmada::plot
