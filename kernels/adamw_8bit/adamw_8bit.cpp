// SPDX-License-Identifier: MIT
#include "kernels/adamw_8bit/adamw_8bit.h"

#include <algorithm>

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

MMADA_SIMD_CLONES void update_block(const Adamw8bitParams& p, const Adamw8bitStep& step,
                                    const MomentTables& tables, int64_t block) {
  const int64_t first = block * kMomentBlock, size = std::min(kMomentBlock, p.count - first);
  float average[kMomentBlock], root[kMomentBlock];
  for (int64_t i = 0; i < size; ++i) {
    const Moments old = decode_moments(p.exp_avg[first + i], p.exp_avg_root[first + i],
                                       p.exp_avg_scale[block], p.exp_avg_root_scale[block], tables);
    average[i] = old.average, root[i] = old.root;
  }
  float average_scale = 0.0f, root_scale = 0.0f;
  for (int64_t i = 0; i < size; ++i) {
    const Moments found = update_moments(step, {average[i], root[i]}, p.grad[first + i], p.weight[first + i]);
    average[i] = found.average, root[i] = found.root;
    average_scale = std::max(average_scale, std::abs(found.average));
    root_scale = std::max(root_scale, found.root);
  }
  for (int64_t i = 0; i < size; ++i) {
    p.exp_avg[first + i] = encode_average(average[i], average_scale, tables);
    p.exp_avg_root[first + i] = encode_root(root[i], root_scale, tables);
  }
  p.exp_avg_scale[block] = average_scale, p.exp_avg_root_scale[block] = root_scale;
}

}  // namespace

Status adamw_8bit(const Adamw8bitParams& p, const Context& context) {
  if (p.count < 0 || p.step < 1) return Status::kInvalid;
  const Adamw8bitStep step(p);
  const MomentTables& tables = moment_tables();
  const int64_t blocks = (p.count + kMomentBlock - 1) / kMomentBlock;
  context.for_chunks((blocks + kChunkBlocks - 1) / kChunkBlocks, [&](int64_t chunk) {
    const int64_t end = std::min(blocks, (chunk + 1) * kChunkBlocks);
    for (int64_t block = chunk * kChunkBlocks; block < end; ++block) update_block(p, step, tables, block);
  });
  return Status::kOk;
}

}  // namespace mmada::kernels
