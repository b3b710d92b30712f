// SPDX-License-Identifier: MIT
// A block per row. Scores lie in shared memory; a candidate's rank is the number of better ones, so that no
// sort and no order of threads enters. Slots that are no candidates have the score NaN, which is better than
// none.
#include "kernels/common/cuda_types.cuh"
#include "kernels/remask/remask.h"
#include "kernels/select/row_state.h"

namespace mmada::kernels {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int64_t kMaxSlots = 8192;

__device__ __forceinline__ float score_of(const RemaskParams& p, uint32_t position, uint32_t step,
                                          uint32_t stream, float temperature, float confidence) {
  if (confidence != confidence) return -INFINITY;  // NaN
  if (p.rule != RemaskRule::kMaskGit) return confidence;
  const float clamped = fmaxf(confidence, 1e-20f);
  if (temperature == 0.0f) return clamped;  // its rounded logarithm would only make ties
  uint32_t bits[4];
  noise_block({*p.noise_key, position, step, stream}, 0, bits);
  return logf(clamped) - temperature * logf(-logf(open_unit_float(bits[0])));
}

/// Sum over the block's threads, in each of them; `part` holds kWarps ints and is free afterwards.
__device__ __forceinline__ int block_count(int mine, int* part) {
  for (int lanes = 16; lanes > 0; lanes /= 2) mine += __shfl_xor_sync(~0u, mine, lanes);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = mine;
  __syncthreads();
  int sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += part[w];
  __syncthreads();
  return sum;
}

/// Whether the candidate with so many better ones is committed.
__device__ __forceinline__ bool commits(const RemaskParams& p, int rank, int candidates, int count,
                                        bool last_step, float confidence) {
  switch (p.rule) {
    case RemaskRule::kCount:
      return rank < count;
    case RemaskRule::kThreshold:
      return rank == 0 || confidence >= p.threshold;
    case RemaskRule::kFactor:  // the left side grows with the rank: the condition of one is that of all
                               // before
      return rank == 0 || static_cast<float>(rank + 2) * (1.0f - confidence) < p.threshold;
    case RemaskRule::kMaskGit:
      return last_step || rank < candidates - max(1, min(candidates - 1, count));
  }
  return false;
}

__global__ void __launch_bounds__(kThreads, 4) remask_kernel(const RemaskParams p) {
  auto* part = reinterpret_cast<int*>(simt::shared_memory());  // [kWarps]
  auto* scores = reinterpret_cast<float*>(part + kWarps);      // [slots]
  const int64_t b = blockIdx.x;
  if (p.active_B != nullptr && p.active_B[b] == 0) return;
  const int slots = static_cast<int>(p.slots), thread = static_cast<int>(threadIdx.x);
  const int step = p.steps_B[b], begin = p.begins_B[b];  // read by all before the first barrier
  int32_t* tokens = p.tokens_BT + b * p.token_stride + begin;
  const float* confidence = p.confidence_BR + b * p.slots;
  const float temperature = p.temperatures_S != nullptr ? p.temperatures_S[step] : 0.0f;
  const uint32_t stream = p.streams_B != nullptr ? p.streams_B[b] : 0;
  const int count = p.counts_BS != nullptr ? p.counts_BS[b * p.steps + step] : 0;

  int mine = 0;
  for (int slot = thread; slot < slots; slot += kThreads) {
    const bool candidate = tokens[slot] == p.mask_id;
    scores[slot] = candidate ? score_of(p, static_cast<uint32_t>(begin + slot), static_cast<uint32_t>(step),
                                        stream, temperature, confidence[slot])
                             : NAN;
    mine += candidate ? 1 : 0;
  }
  const int candidates = block_count(mine, part);  // its barriers publish the scores, too

  int committed = 0;
  for (int slot = thread; slot < slots; slot += kThreads) {
    const float own = scores[slot];
    if (own != own) continue;  // NaN
    int rank = 0;
#pragma unroll 4
    for (int other = 0; other < slots; ++other)
      rank += scores[other] > own || (scores[other] == own && other < slot) ? 1 : 0;
    if (!commits(p, rank, candidates, count, step + 1 >= p.steps, confidence[slot])) continue;
    tokens[slot] = p.proposals_BR[b * p.slots + slot];
    if (p.commit_step_BT != nullptr) p.commit_step_BT[b * p.token_stride + begin + slot] = step;
    committed += 1;
  }
  committed = block_count(committed, part);
  if (thread != 0) return;
  p.steps_B[b] = step + 1;
  p.done_B[b] = committed == candidates || step + 1 >= p.steps ? 1 : 0;
}

}  // namespace

Status remask_cuda(const RemaskParams& p, const Context& context) {
  if (!remask_is_valid(p)) return Status::kInvalid;
  if (p.slots > kMaxSlots || p.batch > INT32_MAX) return Status::kUnsupported;
  if (p.batch == 0) return Status::kOk;
  const size_t shared = kWarps * sizeof(int) + static_cast<size_t>(p.slots) * sizeof(float);
  return launch(remask_kernel, static_cast<unsigned>(p.batch), kThreads, shared, context, p);
}

}  // namespace mmada::kernels
