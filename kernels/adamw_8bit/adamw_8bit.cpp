// SPDX-License-Identifier: MIT
#include "kernels/adamw_8bit/adamw_8bit.h"

#include <algorithm>
#include <bit>

#include "kernels/adamw_8bit/adamw_8bit_step.h"

namespace mmada::kernels {

namespace {

constexpr int64_t kChunkBlocks = 64;

const MomentTables& moment_tables() {
  static const MomentTables tables = [] {
    MomentTables made;
    for (unsigned code = 0; code < 128; ++code)
      made.levels7[code] = MomentLevels<7>::level(code),
      made.midpoints7[code] = MomentLevels<7>::midpoint(code);
    for (unsigned code = 0; code < 256; ++code)
      made.levels8[code] = MomentLevels<8>::level(code),
      made.midpoints8[code] = MomentLevels<8>::midpoint(code);
    return made;
  }();
  return tables;
}

using Block = float[kMomentBlock];

/// MomentLevels::nearest of a whole block: step by step, so that the compiler takes many elements at a time.
template <int kBits>
[[gnu::always_inline]] inline void nearest_codes(const Block& x, int64_t size, const float* midpoints,
                                                 unsigned (&codes)[kMomentBlock]) {
  std::fill_n(codes, size, 0u);
  for (unsigned step = MomentLevels<kBits>::kCount / 2; step > 0; step /= 2)
    for (int64_t i = 0; i < size; ++i) codes[i] += x[i] > midpoints[codes[i] + step - 1] ? step : 0;
}

/// The largest magnitude; patterns of such numbers are in their order, and compared as integers they need no
/// order of their own.
[[gnu::always_inline]] inline float largest(const Block& x, int64_t size) {
  uint32_t most = 0;
  for (int64_t i = 0; i < size; ++i) {
    const auto bits = std::bit_cast<uint32_t>(std::abs(x[i]));
    most = bits > most ? bits : most;
  }
  return std::bit_cast<float>(most);
}

/// The arrays of one block; bytes may alias anything, so that only locals keep the loops apart.
MMADA_SIMD_CLONES void update_block(const Adamw8bitStep step, const MomentTables& tables, int64_t size,
                                    float* __restrict weight, const float* __restrict grad,
                                    uint8_t* __restrict averages, uint8_t* __restrict roots,
                                    float& average_scale, float& root_scale) {
  Block average, root, relative;
  unsigned codes[kMomentBlock];
  const float old_average_scale = average_scale, old_root_scale = root_scale;
  for (int64_t i = 0; i < size; ++i) {
    const Moments old = decode_moments(averages[i], roots[i], old_average_scale, old_root_scale, tables);
    average[i] = old.average, root[i] = old.root;
  }
  for (int64_t i = 0; i < size; ++i) {
    const Moments found = update_moments(step, {average[i], root[i]}, grad[i], weight[i]);
    average[i] = found.average, root[i] = found.root;
  }
  const float most_average = largest(average, size), most_root = largest(root, size);
  for (int64_t i = 0; i < size; ++i) relative[i] = std::abs(average[i]) / divisor(most_average);
  nearest_codes<7>(relative, size, tables.midpoints7, codes);
  for (int64_t i = 0; i < size; ++i) averages[i] = average_byte(codes[i], average[i]);
  for (int64_t i = 0; i < size; ++i) relative[i] = root[i] / divisor(most_root);
  nearest_codes<8>(relative, size, tables.midpoints8, codes);
  for (int64_t i = 0; i < size; ++i) roots[i] = root_byte(codes[i], root[i]);
  average_scale = most_average, root_scale = most_root;
}

}  // namespace

Status adamw_8bit(const Adamw8bitParams& p, const Context& context) {
  if (p.count < 0 || p.step < 1) return Status::kInvalid;
  const Adamw8bitStep step(p);
  const MomentTables& tables = moment_tables();
  const int64_t blocks = (p.count + kMomentBlock - 1) / kMomentBlock;
  context.for_chunks((blocks + kChunkBlocks - 1) / kChunkBlocks, [&](int64_t chunk) {
    const int64_t end = std::min(blocks, (chunk + 1) * kChunkBlocks);
    for (int64_t block = chunk * kChunkBlocks; block < end; ++block) {
      const int64_t first = block * kMomentBlock;
      update_block(step, tables, std::min(kMomentBlock, p.count - first), p.weight + first, p.grad + first,
                   p.exp_avg + first, p.exp_avg_root + first, p.exp_avg_scale[block],
                   p.exp_avg_root_scale[block]);
    }
  });
  return Status::kOk;
}

}  // namespace mmada::kernels
