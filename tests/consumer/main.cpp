// SPDX-License-Identifier: MIT
// Uses each exported library from outside the tree.
#include <ATen/ATen.h>
#include <kernels/common/philox.h>
#include <mmada/core/rng.h>
#include <mmada/core/version.h>
#include <mmada/diffusion/schedule.h>

#include <cmath>
#include <cstdio>

int main() {
  const mmada::Schedule schedule("linear");
  const bool right = std::abs(schedule(0.25) - 0.75) < 1e-12 && mmada::Rng(1, "x").uniform() < 1.0 &&
                     mmada::kernels::philox4x32(0, {0, 0, 0, 0})[0] == 0x6627e8d5u &&
                     at::ones({2}).sum().item<int>() == 2;
  std::printf("consumer of mmada %s: %s\n", MMADA_VERSION, right ? "works" : "broken");
  return right ? 0 : 1;
}
