// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mmada {

/// A unit as so many of the smallest one of its kind.
struct MeasureUnit {
  std::string kind;   ///< "length", "area", "volume", "mass" or "time"
  int64_t times = 1;  ///< of millimetres, square ones, cubic ones, milligrams or milliseconds
};

/// The unit that these words or LaTeX name, where it is one of the common ones of length, area, volume, mass
/// and time: "cm", "\\text{ cm}^2", "kilometers", "min". None where it is another, or nothing.
std::optional<MeasureUnit> measure_unit(std::string_view written);

}  // namespace mmada
