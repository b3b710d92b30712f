// SPDX-License-Identifier: MIT
// A block of threads takes moment blocks in turn, a weight per thread; the tables of levels lie in shared
// memory. Bound by memory: 16 bytes for each weight.
#include "kernels/adamw_8bit/adamw_8bit.h"
#include "kernels/adamw_8bit/adamw_8bit_step.h"
#include "kernels/common/cuda_types.cuh"

namespace mmada::kernels {

namespace {

constexpr int kThreads = kMomentBlock, kWarps = kThreads / 32;
constexpr int64_t kMostBlocks = 2112;  // sixteen for each multiprocessor of an H100

struct SharedMemory {
  MomentTables tables;
  float averages[kWarps], roots[kWarps];
};

__device__ __forceinline__ float warp_max(float x) {
  for (int bits = 16; bits > 0; bits /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, bits));
  return x;
}

__device__ __forceinline__ void fill_tables(MomentTables& tables, unsigned code) {
  tables.levels8[code] = MomentLevels<8>::level(code);
  tables.midpoints8[code] = MomentLevels<8>::midpoint(code);
  if (code >= 128) return;
  tables.levels7[code] = MomentLevels<7>::level(code);
  tables.midpoints7[code] = MomentLevels<7>::midpoint(code);
}

/// The largest of a block's moments, the same in every thread.
__device__ __forceinline__ Moments block_max(Moments x, SharedMemory& shared) {
  const float average = warp_max(x.average), root = warp_max(x.root);
  if (threadIdx.x % 32 == 0)
    shared.averages[threadIdx.x / 32] = average, shared.roots[threadIdx.x / 32] = root;
  __syncthreads();
  Moments largest{0.0f, 0.0f};
#pragma unroll
  for (int w = 0; w < kWarps; ++w)
    largest = {fmaxf(largest.average, shared.averages[w]), fmaxf(largest.root, shared.roots[w])};
  __syncthreads();  // before the next block's maxima
  return largest;
}

__global__ void __launch_bounds__(kThreads)
    adamw_kernel(const Adamw8bitParams p, const Adamw8bitStep step, const int64_t blocks) {
  SharedMemory& shared = *reinterpret_cast<SharedMemory*>(simt::shared_memory());
  fill_tables(shared.tables, threadIdx.x);
  __syncthreads();
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    const int64_t i = block * kMomentBlock + threadIdx.x;
    const bool own = i < p.count;
    Moments moments{0.0f, 0.0f};
    if (own) {
      moments = decode_moments(p.exp_avg[i], p.exp_avg_root[i], p.exp_avg_scale[block],
                               p.exp_avg_root_scale[block], shared.tables);
      float weight = p.weight[i];
      moments = update_moments(step, moments, p.grad[i], weight);
      p.weight[i] = weight;
    }
    const Moments largest = block_max({fabsf(moments.average), moments.root}, shared);
    if (own) {
      const float magnitude = fabsf(moments.average) / divisor(largest.average);
      const float root = moments.root / divisor(largest.root);
      p.exp_avg[i] =
          average_byte(MomentLevels<7>::nearest(magnitude, shared.tables.midpoints7), moments.average);
      p.exp_avg_root[i] = root_byte(MomentLevels<8>::nearest(root, shared.tables.midpoints8), moments.root);
    }
    if (threadIdx.x == 0)
      p.exp_avg_scale[block] = largest.average, p.exp_avg_root_scale[block] = largest.root;
  }
}

}  // namespace

Status adamw_8bit_cuda(const Adamw8bitParams& p, const Context& context) {
  if (p.count < 0 || p.step < 1) return Status::kInvalid;
  if (p.count == 0) return Status::kOk;
  const int64_t blocks = (p.count + kMomentBlock - 1) / kMomentBlock;
  const auto grid = static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
  return launch(adamw_kernel, grid, kThreads, sizeof(SharedMemory), context, p, Adamw8bitStep(p), blocks);
}

}  // namespace mmada::kernels
