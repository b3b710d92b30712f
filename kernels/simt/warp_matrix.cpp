// SPDX-License-Identifier: MIT
// What mma.m16n8k16 and ldmatrix do with a warp's registers, from the PTX manual's fragment tables. With
// g = lane / 4 and t = lane % 4, register r of a lane holds, as two halves h of 16 bits:
//   A (row major, 16 x 16):  row g + 8 (r % 2), column 2 t + h + 8 (r / 2)
//   B (column major, 16 x 8): row 2 t + h + 8 r, column g
//   C and D (16 x 8, fp32):   row g + 8 (r / 2), column 2 t + r % 2
#include <cuda_fp16.h>

#include <algorithm>
#include <bit>

#include "kernels/common/host_device.h"
#include "kernels/simt/emulator.h"

namespace mmada::simt {

namespace {

constexpr int kM = 16, kN = 8, kK = 16, kLanes = 32;

struct Tiles {
  double a[kM][kK], b[kK][kN], d[kM][kN];
};

double bf16_value(uint32_t word, int half) {
  return std::bit_cast<float>(half != 0 ? word & 0xFFFF0000u : word << 16);
}
double f16_value(uint32_t word, int half) {
  __half_raw raw;
  raw.x = static_cast<unsigned short>(word >> 16 * half);
  return static_cast<double>(__half2float(__half(raw)));
}

/// Products are exact, their sum is taken in fp64 and rounded once: closer than any tensor core.
MMADA_SIMD_CLONES void multiply(Tiles& tiles) {
  for (int i = 0; i < kM; ++i) {
    double row[kN] = {};
    for (int k = 0; k < kK; ++k)
      for (int j = 0; j < kN; ++j) row[j] += tiles.a[i][k] * tiles.b[k][j];
    for (int j = 0; j < kN; ++j) tiles.d[i][j] = row[j];
  }
}

template <double (*kValue)(uint32_t, int)>
void multiply_accumulate(Meeting& meeting) {
  Tiles tiles;
  for (int lane = 0; lane < kLanes; ++lane) {
    const Payload& words = meeting.in[lane];
    const int g = lane / 4, t = lane % 4;
    for (int h = 0; h < 2; ++h) {
      for (int r = 0; r < 4; ++r) tiles.a[g + 8 * (r % 2)][2 * t + h + 8 * (r / 2)] = kValue(words[r], h);
      for (int r = 0; r < 2; ++r) tiles.b[2 * t + h + 8 * r][g] = kValue(words[4 + r], h);
    }
  }
  multiply(tiles);
  for (int lane = 0; lane < kLanes; ++lane)
    for (int r = 0; r < 4; ++r) {
      const double c = std::bit_cast<float>(meeting.in[lane][6 + r]);
      const double d = tiles.d[lane / 4 + 8 * (r / 2)][2 * (lane % 4) + r % 2];
      meeting.out[lane][r] = std::bit_cast<uint32_t>(static_cast<float>(c + d));
    }
  counts.mma += 1;
}

}  // namespace

void mma_bf16(Meeting& meeting) { multiply_accumulate<bf16_value>(meeting); }
void mma_f16(Meeting& meeting) { multiply_accumulate<f16_value>(meeting); }

/// Rows of one 8x8 matrix are 16 bytes each: conflict-free when all eight fall into different groups of four
/// banks.
void count_ldmatrix(Meeting& meeting) {
  constexpr int kMatrices = 4, kRows = 8, kRowBytes = 16;
  for (int matrix = 0; matrix < kMatrices; ++matrix) {
    int hits[kRows] = {}, most = 0;
    for (int row = 0; row < kRows; ++row) {
      const Payload& words = meeting.in[matrix * kRows + row];
      const uint64_t address = words[0] | static_cast<uint64_t>(words[1]) << 32;
      most = std::max(most, ++hits[address / kRowBytes % kRows]);
    }
    counts.ldmatrix_conflicts += static_cast<uint64_t>(most - 1);
  }
  counts.ldmatrix += 1;
}

}  // namespace mmada::simt
