// SPDX-License-Identifier: MIT
// resize_probe: for every line "INPUT FIT HEIGHT WIDTH OUTPUT" of standard input writes what fit_image makes
// of a picture (a mask where FIT ends in "-mask") to OUTPUT, for the comparison with Pillow. A FIT of
// "resize" is resize_bicubic.
#include <iostream>
#include <string>

#include "mmada/vision/resize.h"
#include "mmada/vision/transforms.h"

int main() {
  std::string input, fit, output;
  int64_t height = 0, width = 0;
  while (std::cin >> input >> fit >> height >> width >> output) {
    const bool mask = fit.ends_with("-mask");
    if (mask) fit.resize(fit.size() - 5);
    const mmada::Image image = mask ? mmada::read_mask(input) : mmada::read_image(input);
    mmada::write_image(output, fit == "resize"
                                   ? mmada::resize_bicubic(image, width, height)
                                   : mmada::fit_image(image, height, width, mmada::fit_from_name(fit)));
  }
}
