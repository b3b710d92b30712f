// SPDX-License-Identifier: MIT
#include "mmada/plot/font.h"

// C++20 has no #embed; the assembler reads the file whose path the build passes.
asm(".pushsection .rodata\n"
    ".global mmada_plot_font_begin\n"
    ".global mmada_plot_font_end\n"
    ".hidden mmada_plot_font_begin\n"
    ".hidden mmada_plot_font_end\n"
    "mmada_plot_font_begin:\n"
    ".incbin \"" MMADA_PLOT_FONT
    "\"\n"
    "mmada_plot_font_end:\n"
    ".popsection\n");

extern "C" {
extern const char mmada_plot_font_begin[];
extern const char mmada_plot_font_end[];
}

namespace mmada::plot {

std::string_view font_file() {
  return {mmada_plot_font_begin, static_cast<size_t>(mmada_plot_font_end - mmada_plot_font_begin)};
}

}  // namespace mmada::plot
