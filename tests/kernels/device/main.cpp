// SPDX-License-Identifier: MIT
// Without a GPU the claims are skipped, which CTest reports; with MMADA_REQUIRE_GPU=1 that is a failure.
#define CATCH_CONFIG_RUNNER
#include <cuda_runtime_api.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>

namespace {

constexpr int kSkipped = 77;

/// Why nothing can run here; null when something can.
const char* reason_to_skip() {
  int devices = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&devices); error != cudaSuccess)
    return cudaGetErrorString(error);
  return devices == 0 ? "no GPU" : nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (const char* reason = reason_to_skip(); reason != nullptr) {
    const char* required = std::getenv("MMADA_REQUIRE_GPU");
    std::cout << "skipped: " << reason << '\n';
    return required != nullptr && *required == '1' ? 1 : kSkipped;
  }
  cudaDeviceProp properties = {};
  (void)cudaGetDeviceProperties(&properties, 0);
  std::cout << "on " << properties.name << ", compute capability " << properties.major << '.'
            << properties.minor << '\n';
  return Catch::Session().run(argc, argv);
}
