// SPDX-License-Identifier: MIT
// lpips_probe WEIGHTS INPUT OUTPUT: distances of the pictures `image` and `other` of a safetensors file, and
// the gradient of their sum in `image`, for the comparison with the lpips package.
#include "mmada/vision/lpips.h"

#include <ATen/ATen.h>

#include <exception>
#include <iostream>

#include "tests/vision/golden.h"

int main(int argc, char** argv) try {
  if (argc != 4) throw mmada::UsageError("usage: lpips_probe WEIGHTS INPUT OUTPUT");
  const mmada::Lpips lpips = mmada::load_lpips(argv[1]);
  const auto input = mmada::test::read_tensors(argv[2]);
  const at::Tensor image = at::Tensor(input.at("image")).requires_grad_(true);
  const at::Tensor distance = lpips.distance(image, input.at("other"));
  distance.sum().backward();
  const at::Tensor value = distance.detach(), gradient = image.grad().contiguous();
  mmada::write_safetensors(
      argv[3], {{"distance", mmada::DType::kF32, value.sizes().vec(), value.const_data_ptr()},
                {"gradient", mmada::DType::kF32, gradient.sizes().vec(), gradient.const_data_ptr()}});
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
