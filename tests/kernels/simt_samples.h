// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// Small kernels with one mistake each to choose from: what the emulator has to notice.
namespace simt_samples {

enum class Bug {
  kNone,
  kNoBarrier,          ///< a value is read that another warp may not have written yet
  kNoTrailingBarrier,  ///< shared memory is overwritten that another warp may still read
  kNoWait,             ///< the copy of the tile in use is not waited for
  kSwappedFragment,    ///< two registers of B change places
  kNoSwizzle,          ///< rows of shared memory lie in the same banks
  kOverrun,            ///< one element past the end of shared memory
  kDivergentBarrier,   ///< half a warp waits where the others do not come
  kMixedCollectives,   ///< half a warp votes while the others shuffle
  kForgottenCopy,      ///< returns with a copy under way
  kSharedOutput,       ///< two blocks write one word
};

/// sums[b] = sum of the block's 64 values x[64 b ...], both halves of the block adding their part.
void block_sums(Bug bug, const float* x, float* sums, int blocks);

constexpr int kTile = 64;
/// c = a b^T for bf16 a [64, k] and b [64, k] (k a multiple of 32), double-buffered, one block of four warps.
void tile_product(Bug bug, const uint16_t* a, const uint16_t* b, float* c, int k);

/// Lane i of one warp: what each warp collective gives it, 8 words per lane.
void collectives(uint32_t* out);

}  // namespace simt_samples
