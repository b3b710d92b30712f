// SPDX-License-Identifier: MIT
// Three launches: moments per chunk of positions, affine per channel, then the picture. The cut is the CPU
// kernel's (plan.h), every sum has a fixed order and no atomics are used: reruns are equal bit for bit.
#include "kernels/common/cuda_types.cuh"
#include "kernels/group_norm_silu/plan.h"

namespace mmada::kernels {

namespace {

using group_norm::Affine;
using group_norm::Moments;
using group_norm::Plan;

constexpr int kThreads = 256;
constexpr int64_t kBlock = 64;        // positions summed in fp32, as on the CPU
constexpr int64_t kMinChannels = 64;  // per block, so that rows are read in whole cache lines

/// The groups one block sums: enough for kMinChannels.
int64_t groups_per_block(const GroupNormSiluParams& p) {
  const int64_t per_group = p.channels / p.groups;
  const int64_t wanted = kMinChannels / per_group;
  return wanted < 1 ? 1 : (wanted < p.groups ? wanted : p.groups);
}

/// One thread's sums over channel c of the chunk's positions first, first + step, ...
template <class T>
__device__ Moments sum_channel(const GroupNormSiluParams& p, const T* chunk, int64_t positions, int64_t c,
                               int64_t first, int64_t step, float pivot) {
  Moments total;
  for (int64_t begin = first; begin < positions; begin += step * kBlock) {
    float sum = 0.0f, squares = 0.0f;
    for (int64_t k = 0; k < kBlock && begin + k * step < positions; ++k) {
      const float d = to_float(chunk[(begin + k * step) * p.channels + c]) - pivot;
      sum += d;
      squares += d * d;
    }
    total.sum += sum;
    total.squares += squares;
  }
  return total;
}

// ---- moments: grid (chunks, blocks of groups, batch)
// ----------------------------------------------------------------

template <class T>
__global__ void moments_kernel(GroupNormSiluParams p, Plan plan, int64_t block_groups, Moments* out) {
  auto* partial = reinterpret_cast<Moments*>(simt::shared_memory());  // [kThreads]
  const int64_t per_group = p.channels / p.groups;
  const int64_t group_begin = blockIdx.y * block_groups;
  const int64_t groups = min(block_groups, p.groups - group_begin);
  const int64_t width = groups * per_group, lanes = min(width, static_cast<int64_t>(kThreads));
  const int64_t rows = kThreads / lanes, row = threadIdx.x / lanes, lane = threadIdx.x % lanes;
  const T* sample = static_cast<const T*>(p.x) + blockIdx.z * p.positions * p.channels;
  const int64_t begin = blockIdx.x * plan.chunk_positions;
  const int64_t positions = min(plan.chunk_positions, p.positions - begin);

  Moments mine;
  if (row < rows)
    for (int64_t c = lane; c < width;
         c += lanes) {  // more than one only where the block has a single wide group
      const int64_t group = group_begin + c / per_group;
      const float pivot = to_float(sample[group * per_group]);
      const Moments channel = sum_channel(p, sample + begin * p.channels, positions,
                                          group_begin * per_group + c, row, rows, pivot);
      mine.sum += channel.sum;
      mine.squares += channel.squares;
    }
  partial[threadIdx.x] = mine;
  __syncthreads();

  if (threadIdx.x >= groups) return;
  Moments total;
  const int64_t first = groups == 1 ? 0 : threadIdx.x * per_group, count = groups == 1 ? lanes : per_group;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = first; c < first + count; ++c) {
      total.sum += partial[r * lanes + c].sum;
      total.squares += partial[r * lanes + c].squares;
    }
  out[(blockIdx.z * plan.chunks + blockIdx.x) * p.groups + group_begin + threadIdx.x] = total;
}

// ---- affine: one block per sample
// -----------------------------------------------------------------------------------

template <class T>
__global__ void affine_kernel(GroupNormSiluParams p, Plan plan, const Moments* moments, Affine* affine) {
  const int64_t per_group = p.channels / p.groups, n = blockIdx.x;
  const T* sample = static_cast<const T*>(p.x) + n * p.positions * p.channels;
  for (int64_t g = threadIdx.x; g < p.groups; g += blockDim.x) {
    Moments total;
    for (int64_t k = 0; k < plan.chunks; ++k) {
      const Moments chunk = moments[(n * plan.chunks + k) * p.groups + g];
      total.sum += chunk.sum;
      total.squares += chunk.squares;
    }
    for (int64_t c = g * per_group; c < (g + 1) * per_group; ++c)
      affine[n * p.channels + c] = group_norm::make_affine(
          total, p.positions * per_group, to_float(sample[g * per_group]), p.weight_C[c], p.bias_C[c], p.eps);
  }
}

// ---- apply: grid (elements / kWide, batch)
// --------------------------------------------------------------------------

/// kWide neighbouring channels, moved as one access.
template <class T, int kWide>
struct alignas(sizeof(T) * kWide) Pack {
  T value[kWide];
};

template <class T, int kWide>
__global__ void apply_kernel(GroupNormSiluParams p, const Affine* affine) {
  const int64_t packs = p.positions * p.channels / kWide, n = blockIdx.y;
  const auto* x = static_cast<const Pack<T, kWide>*>(p.x) + n * packs;
  auto* y = static_cast<Pack<T, kWide>*>(p.y) + n * packs;
  const Affine* affine_C = affine + n * p.channels;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs; i += step) {
    const int64_t c = i * kWide % p.channels;
    Pack<T, kWide> pack = x[i];
#pragma unroll
    for (int k = 0; k < kWide; ++k)
      from_float(group_norm::apply_affine(to_float(pack.value[k]), affine_C[c + k]), pack.value[k]);
    y[i] = pack;
  }
}

template <class T, int kWide>
Status launch_apply(const GroupNormSiluParams& p, const Affine* affine, const Context& context) {
  const dim3 grid(blocks_for(p.positions * p.channels / kWide, kThreads), static_cast<unsigned>(p.batch));
  return launch(apply_kernel<T, kWide>, grid, kThreads, 0, context, p, affine);
}

template <class T>
Status launch_all(const GroupNormSiluParams& p, const Context& context) {
  const Plan plan(p);
  const int64_t block_groups = groups_per_block(p);
  const dim3 grid(static_cast<unsigned>(plan.chunks),
                  static_cast<unsigned>((p.groups + block_groups - 1) / block_groups),
                  static_cast<unsigned>(p.batch));
  Moments* moments = group_norm::moments_of(context);
  Affine* affine = group_norm::affine_of(p, context);
  Status status = launch(moments_kernel<T>, grid, kThreads, kThreads * sizeof(Moments), context, p, plan,
                         block_groups, moments);
  if (status != Status::kOk) return status;
  status = launch(affine_kernel<T>, static_cast<unsigned>(p.batch), kThreads, 0, context, p, plan, moments,
                  affine);
  if (status != Status::kOk) return status;
  constexpr int kWide = 16 / sizeof(T);
  const auto address = reinterpret_cast<uintptr_t>(p.x) | reinterpret_cast<uintptr_t>(p.y);
  return p.channels % kWide == 0 && address % 16 == 0 ? launch_apply<T, kWide>(p, affine, context)
                                                      : launch_apply<T, 1>(p, affine, context);
}

}  // namespace

Status group_norm_silu_cuda(const GroupNormSiluParams& params, const Context& context) {
  if (const Status status = group_norm::check(params, context); status != Status::kOk) return status;
  constexpr int64_t kMaxGrid = 65535;
  if (params.batch > kMaxGrid || params.groups > kMaxGrid) return Status::kUnsupported;
  if (params.batch == 0 || params.positions == 0) return Status::kOk;
  return dispatch_float(params.type, [&]<class T>() { return launch_all<T>(params, context); });
}

}  // namespace mmada::kernels
