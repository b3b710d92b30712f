// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace mmada::plot {

/// The bytes of DejaVuSans.ttf, which the build puts into the program: a plot needs no font on the machine.
std::string_view font_file();

}  // namespace mmada::plot
