// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "mmada/data/shapes_scene.h"
#include "mmada/formats/image_file.h"

namespace mmada {

/// What a picture shows.
struct FoundScene {
  Scene scene;
  /// Cells that are neither empty nor explained by any shape the options know.
  int64_t unreadable = 0;

  bool matches(const Scene& expected) const { return unreadable == 0 && scene == expected; }
};

/// Reads a drawn, reconstructed or generated picture back into its objects.
///
/// Every cell is explained by the best of all (shape, size, colour) drawings, each tried up to one pixel off
/// its centre, in the least-squares sense. With coverage a (0..1 a pixel), colour v and picture d, both as
/// differences from the background, the squared error falls from |d|^2 by gain = 2 sum a (d.v) - sum a^2
/// |v|^2. A cell counts as
///  - empty when |d|^2 is below a quarter of the faintest drawing's energy sum a^2 |v|^2,
///  - an object when the best drawing explains at least half of |d|^2,
///  - unreadable otherwise.
class ShapeFinder {
 public:
  explicit ShapeFinder(const ShapesOptions& options);

  /// Throws when the picture is not an RGB canvas of the options' size.
  FoundScene find(const Image& image) const;

 private:
  struct Drawing {
    int shape = 0, size = 0;
    std::vector<float> coverage;  ///< of the cell's window, 0..1
    double energy = 0;            ///< sum of squared coverage
  };
  struct Cell {
    int64_t left = 0, top = 0, width = 0, height = 0;
    std::vector<Drawing> drawings;
  };
  Cell make_cell(int64_t cell) const;
  void find_in_cell(const Image& image, int64_t cell, FoundScene& found) const;

  ShapesOptions options_;
  std::vector<Cell> cells_;
  double faintest_ = 0;  ///< energy of the faintest drawing
};

}  // namespace mmada
