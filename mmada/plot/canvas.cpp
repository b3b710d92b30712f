// SPDX-License-Identifier: MIT
#include "mmada/plot/canvas.h"

#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_OUTLINE_H
#include FT_STROKER_H

#include <algorithm>
#include <cmath>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/bpe_unicode.h"
#include "mmada/plot/font.h"

namespace mmada::plot {
namespace {

constexpr double kSubpixels = 64.0;  // FreeType counts in 1/64 pixel
// FreeType counts the points of an outline in 16 bits; round joins make up to about ten of each of ours.
constexpr size_t kPiece = 1000;

void check(FT_Error error, const char* what) {
  MMADA_CHECK(error == 0, "plot: FreeType: ", what, " failed with error ", error);
}

FT_Pos subpixels(double value) { return static_cast<FT_Pos>(std::lround(value * kSubpixels)); }

/// How much of every pixel is covered, from 0 to 255, over the whole picture.
struct Coverage {
  int64_t width, height;
  std::vector<uint8_t> amount;
  void add(int64_t x, int64_t y, uint8_t covered) {
    if (x < 0 || x >= width || y < 0 || y >= height) return;
    uint8_t& old = amount[static_cast<size_t>(y * width + x)];
    old = std::max(old, covered);  // pieces of one line overlap and stay one line
  }
};

/// FreeType's rows grow upwards.
void add_spans(int row, int count, const FT_Span* spans, void* user) {
  auto& coverage = *static_cast<Coverage*>(user);
  for (int i = 0; i < count; ++i)
    for (int x = spans[i].x; x < spans[i].x + spans[i].len; ++x)
      coverage.add(x, coverage.height - 1 - row, spans[i].coverage);
}

void blend(uint8_t* pixel, Colour colour, double amount) {
  const double channels[] = {static_cast<double>(colour.red), static_cast<double>(colour.green),
                             static_cast<double>(colour.blue)};
  for (int c = 0; c < 3; ++c)
    pixel[c] = static_cast<uint8_t>(std::lround(pixel[c] + amount * (channels[c] - pixel[c])));
}

void blend(Image* image, const Coverage& coverage, Colour colour, double opacity) {
  for (int64_t y = 0; y < image->height; ++y)
    for (int64_t x = 0; x < image->width; ++x)
      if (const uint8_t covered = coverage.amount[static_cast<size_t>(y * image->width + x)]; covered > 0)
        blend(image->row(y) + 3 * x, colour, opacity * covered / 255.0);
}

}  // namespace

struct Canvas::FreeType {
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  FT_Stroker stroker = nullptr;

  FreeType() {
    check(FT_Init_FreeType(&library), "starting");
    const std::string_view font = font_file();
    check(FT_New_Memory_Face(library, reinterpret_cast<const FT_Byte*>(font.data()),
                             static_cast<FT_Long>(font.size()), 0, &face),
          "reading the font");
    check(FT_Stroker_New(library, &stroker), "making a stroker");
  }
  ~FreeType() {
    if (stroker != nullptr) FT_Stroker_Done(stroker);
    if (face != nullptr) FT_Done_Face(face);
    if (library != nullptr) FT_Done_FreeType(library);
  }

  /// Covers what a pen of this radius passes over along points [begin, end).
  void stroke(const std::vector<Point>& points, size_t begin, size_t end, double radius, Coverage* coverage) {
    const auto at = [&](size_t i) {
      return FT_Vector{subpixels(points[i].x),
                       subpixels(static_cast<double>(coverage->height) - points[i].y)};
    };
    FT_Stroker_Set(stroker, subpixels(radius), FT_STROKER_LINECAP_ROUND, FT_STROKER_LINEJOIN_ROUND, 0);
    FT_Vector start = at(begin);
    check(FT_Stroker_BeginSubPath(stroker, &start, 1), "beginning a line");
    if (end - begin == 1) start.x += 1, check(FT_Stroker_LineTo(stroker, &start), "drawing a point");
    for (size_t i = begin + 1; i < end; ++i) {
      FT_Vector next = at(i);
      check(FT_Stroker_LineTo(stroker, &next), "drawing a line");
    }
    check(FT_Stroker_EndSubPath(stroker), "ending a line");
    fill(coverage);
  }

  /// Fills what the stroker has gathered.
  void fill(Coverage* coverage) {
    FT_UInt points = 0, contours = 0;
    check(FT_Stroker_GetCounts(stroker, &points, &contours), "counting points");
    FT_Outline outline;
    check(FT_Outline_New(library, points, static_cast<FT_Int>(contours), &outline), "making an outline");
    outline.n_points = 0, outline.n_contours = 0;  // room for so many; Export appends
    FT_Stroker_Export(stroker, &outline);
    FT_Raster_Params raster{};
    raster.flags = FT_RASTER_FLAG_AA | FT_RASTER_FLAG_DIRECT | FT_RASTER_FLAG_CLIP;
    raster.clip_box = {0, 0, static_cast<FT_Pos>(coverage->width), static_cast<FT_Pos>(coverage->height)};
    raster.gray_spans = add_spans;
    raster.user = coverage;
    const FT_Error error = FT_Outline_Render(library, &outline, &raster);
    FT_Outline_Done(library, &outline);
    check(error, "filling an outline");
  }

  void set_size(double size) { check(FT_Set_Char_Size(face, 0, subpixels(size), 72, 72), "sizing the font"); }

  /// Calls what(glyph, x) with each letter and where it begins, in pixels from the text's; returns the width.
  template <class What>
  double each_glyph(const std::string& text, FT_Int32 flags, What&& what) {
    const std::string shown = printable(text, text.size() + 1);
    double x = 0;
    for (size_t position = 0; position < shown.size();) {
      check(FT_Load_Char(face, bpe::next_codepoint(shown, position), flags), "loading a letter");
      what(*face->glyph, x);
      x += static_cast<double>(face->glyph->advance.x) / kSubpixels;
    }
    return x;
  }
};

Canvas::Canvas(int64_t width, int64_t height)
    : image_{.width = width, .height = height, .pixels = {}}, freetype_(std::make_unique<FreeType>()) {
  image_.pixels.assign(static_cast<size_t>(3 * width * height), 255);
}

Canvas::~Canvas() = default;

void Canvas::polyline(const std::vector<Point>& points, double width, Colour colour, double opacity) {
  Coverage coverage{image_.width, image_.height,
                    std::vector<uint8_t>(static_cast<size_t>(image_.width * image_.height))};
  for (size_t begin = 0; begin < points.size(); begin += kPiece) {
    const size_t end = std::min(begin + kPiece + 1, points.size());  // pieces share their ends
    freetype_->stroke(points, begin, end, width / 2, &coverage);
  }
  blend(&image_, coverage, colour, opacity);
}

void Canvas::disc(Point centre, double radius, Colour colour) {
  polyline({centre}, 2 * radius, colour);  // the mark of a round pen
}

void Canvas::rectangle(int64_t left, int64_t top, int64_t width, int64_t height, Colour colour) {
  for (int64_t y = std::max<int64_t>(top, 0); y < std::min(top + height, image_.height); ++y)
    for (int64_t x = std::max<int64_t>(left, 0); x < std::min(left + width, image_.width); ++x)
      blend(image_.row(y) + 3 * x, colour, 1.0);
}

double Canvas::text_width(const std::string& text, double size) {
  freetype_->set_size(size);
  return freetype_->each_glyph(text, FT_LOAD_TARGET_LIGHT, [](const FT_GlyphSlotRec&, double) {});
}

double Canvas::text(const std::string& text, Point at, double size, Colour colour, Align align) {
  const double width = text_width(text, size);
  const double left = at.x - (align == Align::kLeft ? 0 : align == Align::kCentre ? width / 2 : width);
  freetype_->each_glyph(
      text, FT_LOAD_RENDER | FT_LOAD_TARGET_LIGHT, [&](const FT_GlyphSlotRec& glyph, double x) {
        const int64_t column = std::lround(left + x) + glyph.bitmap_left;
        const int64_t row = std::lround(at.y) - glyph.bitmap_top;
        for (unsigned j = 0; j < glyph.bitmap.rows; ++j)
          for (unsigned i = 0; i < glyph.bitmap.width; ++i) {
            const int64_t px = column + i, py = row + j;
            if (px < 0 || px >= image_.width || py < 0 || py >= image_.height) continue;
            const uint8_t* line = glyph.bitmap.buffer + static_cast<int64_t>(j) * glyph.bitmap.pitch;
            blend(image_.row(py) + 3 * px, colour, line[i] / 255.0);
          }
      });
  return width;
}

}  // namespace mmada::plot
