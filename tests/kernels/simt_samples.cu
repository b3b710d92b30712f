// SPDX-License-Identifier: MIT
#include "simt_samples.h"

#include "kernels/simt/simt.cuh"

namespace simt_samples {

namespace simt = mmada::simt;

namespace {

__global__ void block_sums_kernel(Bug bug, const float* x, float* sums) {
  auto* part = reinterpret_cast<float*>(simt::shared_memory());
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  float sum = x[blockIdx.x * kTile + threadIdx.x];
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(~0u, sum, bits);
  if (bug == Bug::kMixedCollectives) sum += thread % 32 < 16 ? __shfl_sync(~0u, sum, 0) : __any_sync(~0u, 1);
  if (bug == Bug::kDivergentBarrier && thread < 16) __syncthreads();
  if (thread % 32 == 0) part[bug == Bug::kOverrun ? warp + 1 : warp] = sum;
  if (bug != Bug::kNoBarrier) __syncthreads();
  const float total = part[0] + part[1];
  if (bug != Bug::kNoTrailingBarrier) __syncthreads();
  part[warp] = total;  // the same word is used again, for the other half's answer
  __syncthreads();
  if (thread == 0) sums[bug == Bug::kSharedOutput ? 0 : blockIdx.x] = part[1];
}

// 32 bf16 of a row are four chunks of 16 bytes; the swizzle spreads eight rows over all banks
__device__ __forceinline__ int at(Bug bug, int row, int chunk) {
  return row * 32 + (bug == Bug::kNoSwizzle ? chunk : chunk ^ (row / 2 % 4)) * 8;
}

__global__ void __launch_bounds__(128)
    tile_product_kernel(Bug bug, const uint16_t* a, const uint16_t* b, float* c, int k) {
  auto* shared = reinterpret_cast<uint16_t*>(simt::shared_memory());  // [2 stages][a 64x32, b 64x32]
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const auto load = [&](int stage, int k0) {
    for (int i = thread; i < 256; i += 128) {
      const int row = i / 4, chunk = i % 4;
      simt::cp_async16(shared + stage * 4096 + at(bug, row, chunk), a + row * k + k0 + chunk * 8);
      simt::cp_async16(shared + stage * 4096 + 2048 + at(bug, row, chunk), b + row * k + k0 + chunk * 8);
    }
    simt::cp_async_commit();
  };
  float sum[8][4] = {};
  load(0, 0);
  for (int k0 = 0, stage = 0; k0 < k; k0 += 32, stage ^= 1) {
    if (k0 + 32 < k) {
      load(stage ^ 1, k0 + 32);
      if (bug == Bug::kNoWait)
        simt::cp_async_wait<2>();
      else
        simt::cp_async_wait<1>();
    } else if (bug != Bug::kForgottenCopy) {
      simt::cp_async_wait<0>();
    }
    if (bug != Bug::kNoBarrier) __syncthreads();
    const uint16_t *sa = shared + stage * 4096, *sb = sa + 2048;
    for (int step = 0; step < 2; ++step) {
      uint32_t fa[4];
      simt::ldmatrix_x4(fa, sa + at(bug, warp * 16 + lane % 16, step * 2 + lane / 16));
      for (int j = 0; j < 4; ++j) {
        uint32_t fb[4];
        simt::ldmatrix_x4(fb, sb + at(bug, j * 16 + lane % 8 + lane / 16 * 8, step * 2 + lane / 8 % 2));
        const int first = bug == Bug::kSwappedFragment ? 1 : 0;
        const uint32_t left[2] = {fb[first], fb[1 - first]}, right[2] = {fb[2], fb[3]};
        simt::mma_m16n8k16<__nv_bfloat16>(sum[2 * j], fa, left);
        simt::mma_m16n8k16<__nv_bfloat16>(sum[2 * j + 1], fa, right);
      }
    }
    if (bug != Bug::kNoTrailingBarrier) __syncthreads();
  }
  for (int j = 0; j < 8; ++j)
    for (int r = 0; r < 4; ++r)
      c[(warp * 16 + lane / 4 + r / 2 * 8) * kTile + j * 8 + lane % 4 * 2 + r % 2] = sum[j][r];
}

__global__ void collectives_kernel(uint32_t* out) {
  const auto lane = static_cast<int>(threadIdx.x);
  const uint32_t odd = 0xAAAAAAAAu, mine = lane % 2 != 0 ? odd : ~odd;
  uint32_t* o = out + lane * 8;
  o[0] = __shfl_sync(~0u, static_cast<uint32_t>(lane), 5);
  o[1] = __shfl_xor_sync(~0u, static_cast<uint32_t>(lane), 3);
  o[2] = __shfl_down_sync(~0u, static_cast<uint32_t>(lane), 4);
  o[3] = __shfl_up_sync(~0u, static_cast<uint32_t>(lane), 4, 8);
  o[4] = __ballot_sync(mine, lane % 4 == 0 || lane == 31);  // two halves of the warp at once
  o[5] = static_cast<uint32_t>(__any_sync(mine, lane == 4)) * 2 +
         static_cast<uint32_t>(__all_sync(mine, lane % 2));
  o[6] = static_cast<uint32_t>(__shfl_sync(~0u, uint64_t{1} << 32 | static_cast<unsigned>(lane), 9) >> 32);
  o[7] = 0;
  __syncwarp();
  atomicAdd(out + 7, static_cast<uint32_t>(lane));
}

}  // namespace

void block_sums(Bug bug, const float* x, float* sums, int blocks) {
  (void)simt::launch(block_sums_kernel, dim3(blocks), dim3(kTile), 2 * sizeof(float), nullptr, bug, x, sums);
}

void tile_product(Bug bug, const uint16_t* a, const uint16_t* b, float* c, int k) {
  constexpr size_t kShared = 2 * 4096 * sizeof(uint16_t);
  (void)simt::launch(tile_product_kernel, dim3(1), dim3(128), kShared, nullptr, bug, a, b, c, k);
}

void collectives(uint32_t* out) {
  (void)simt::launch(collectives_kernel, dim3(1), dim3(32), 0, nullptr, out);
}

}  // namespace simt_samples
