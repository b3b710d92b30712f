// SPDX-License-Identifier: MIT
// One thread per position: neighbouring threads read and write neighbouring positions of every channel.
#include "kernels/common/cuda_types.cuh"
#include "kernels/lfq/lfq.h"

namespace mmada::kernels {

namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void lfq_pack_kernel(LfqPackParams p) {
  const int64_t count = p.batch * p.positions, step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const int64_t n = i / p.positions, position = i % p.positions;
    const T* latent = static_cast<const T*>(p.latent) + n * p.bits * p.positions + position;
    int64_t code = 0;
    for (int64_t c = 0; c < p.bits; ++c) code = lfq_append(code, to_float(latent[c * p.positions]));
    p.codes[i] = code;
  }
}

template <class T>
__global__ void lfq_unpack_kernel(LfqUnpackParams p) {
  const int64_t count = p.batch * p.positions, step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const int64_t n = i / p.positions, position = i % p.positions;
    T* latent = static_cast<T*>(p.latent) + n * p.bits * p.positions + position;
    const int64_t code = p.codes[i];
    for (int64_t c = 0; c < p.bits; ++c) from_float(lfq_latent(code, c, p.bits), latent[c * p.positions]);
  }
}

}  // namespace

Status lfq_pack_cuda(const LfqPackParams& params, const Context& context) {
  if (const Status status = check_lfq(params); status != Status::kOk) return status;
  const int64_t count = params.batch * params.positions;
  if (count == 0) return Status::kOk;
  return dispatch_float(params.type, [&]<class T>() {
    return launch(lfq_pack_kernel<T>, blocks_for(count, kThreads), kThreads, 0, context, params);
  });
}

Status lfq_unpack_cuda(const LfqUnpackParams& params, const Context& context) {
  if (const Status status = check_lfq(params); status != Status::kOk) return status;
  const int64_t count = params.batch * params.positions;
  if (count == 0) return Status::kOk;
  return dispatch_float(params.type, [&]<class T>() {
    return launch(lfq_unpack_kernel<T>, blocks_for(count, kThreads), kThreads, 0, context, params);
  });
}

}  // namespace mmada::kernels
