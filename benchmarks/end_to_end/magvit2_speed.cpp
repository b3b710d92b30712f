// SPDX-License-Identifier: MIT
// The C++ half of magvit2_speed.py: bench_magvit2_speed TOKENIZER INPUT.safetensors OUTPUT.safetensors
// THREADS
//
// Reads `image` and `codes`, writes `latent` and `picture` once for the comparison, then answers every line
// on standard input with the wall and CPU seconds of one encode and one decode.
#include <ATen/core/grad_mode.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <string>

#include "mmada/model/tensor_file.h"
#include "mmada/vision/magvit2.h"

namespace {

template <class F>
void time_one(F&& work) {
  const auto wall = std::chrono::steady_clock::now();
  const std::clock_t cpu = std::clock();
  work();
  const double cpu_seconds = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
  std::printf("%.6f %.6f ", std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count(),
              cpu_seconds);
}

int run(char** argv) {
  const at::NoGradGuard no_grad;
  at::set_num_threads(std::atoi(argv[4]));
  const mmada::Magvit2 tokenizer = mmada::load_image_tokenizer(argv[1]);
  const auto input = mmada::read_tensor_file(argv[2]);
  const at::Tensor &image = input.at("image"), &codes = input.at("codes");
  mmada::write_tensor_file(
      argv[3], {{"latent", tokenizer.encode_latent(image)}, {"picture", tokenizer.decode(codes)}});
  std::printf("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    time_one([&] { tokenizer.encode(image); });
    time_one([&] { tokenizer.decode(codes); });
    std::printf("\n");
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 5) return run(argv);
    std::fprintf(stderr,
                 "usage: bench_magvit2_speed TOKENIZER INPUT.safetensors OUTPUT.safetensors THREADS\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_magvit2_speed: %s\n", error.what());
    return 1;
  }
}
