// SPDX-License-Identifier: MIT
#pragma once

#include <bit>

#include "emulation.h"
#include "simt_samples.h"

/// Whether the sample kernels give the right answers.
namespace simt_samples {

constexpr int kBlocks = 3;

inline emulation::Shared<float> run_block_sums(Bug bug) {
  emulation::Shared<float> x(kBlocks * kTile), sums(kBlocks, -1.0f);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  block_sums(bug, x.data(), sums.data(), kBlocks);
  (void)emulation::finished({});
  return sums;
}
inline bool block_sums_right(Bug bug) {
  // 64 consecutive integers from 64 b
  return run_block_sums(bug) == emulation::Shared<float>{2016.0f, 6112.0f, 10208.0f};
}

inline bool tile_product_right(Bug bug, int k = 96) {
  emulation::Shared<uint16_t> a(kTile * k), b(kTile * k);
  emulation::Shared<float> c(kTile * kTile, -1.0f);
  const auto small = [](size_t i) { return static_cast<float>(static_cast<int>(i * 7 % 11) - 5); };
  const auto bf16 = [](float x) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16); };
  for (size_t i = 0; i < a.size(); ++i) a[i] = bf16(small(i)), b[i] = bf16(small(i * i + 3));
  tile_product(bug, a.data(), b.data(), c.data(), k);
  (void)emulation::finished({});
  for (int i = 0; i < kTile; ++i)
    for (int j = 0; j < kTile; ++j) {
      float exact = 0;  // small integers: fp32 is exact in any order
      for (int n = 0; n < k; ++n) {
        const auto at = [&](int row) { return static_cast<size_t>(row * k + n); };
        exact += small(at(i)) * small(at(j) * at(j) + 3);
      }
      if (!(c[i * kTile + j] == exact)) return false;
    }
  return true;
}

inline std::vector<std::string> ways_that_fail(bool (*right)(Bug), Bug bug) {
  std::vector<std::string> failing;
  for (const emulation::Way way : emulation::all_ways()) {
    emulation::use(way);
    if (!right(bug)) failing.push_back(emulation::name(way));
  }
  return failing;
}
inline bool product_right(Bug bug) { return tile_product_right(bug); }

}  // namespace simt_samples
