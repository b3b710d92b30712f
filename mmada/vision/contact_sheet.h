// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "mmada/formats/image_file.h"

namespace mmada {

struct ContactSheetOptions {
  int64_t columns = 8;
  int64_t scale = 1;  ///< every pixel becomes scale x scale pixels
  int64_t gap = 2;    ///< pixels around every picture, unscaled
  std::array<uint8_t, 3> background = {128, 128, 128};
};

/// Lays pictures out in rows, left to right and top to bottom, on one RGB picture. They may differ in size:
/// every cell is as large as the largest, with its picture at the top left. Grey pictures are copied to the
/// three channels.
Image contact_sheet(const std::vector<Image>& images, const ContactSheetOptions& options = {});

}  // namespace mmada
