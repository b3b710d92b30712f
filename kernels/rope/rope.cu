// SPDX-License-Identifier: MIT
// A block per token: its angles are read once and serve all heads of q and k. Threads walk over pairs of
// equal distance from the two halves' beginnings, kWide at a time.
#include "kernels/common/pack.cuh"
#include "kernels/rope/rope.h"

namespace mmada::kernels {

namespace {

constexpr int kThreads = 256;

template <class T, int kWide>
__global__ void __launch_bounds__(kThreads) rope_kernel(const RopeParams p) {
  using Wide = Pack<T, kWide>;
  const int64_t token = blockIdx.x;
  const int half = static_cast<int>(p.head_dim) / 2, per_head = half / kWide;
  const int64_t row = rope_position(p, token) * half;
  const int q_pairs = static_cast<int>(p.heads) * per_head;
  const int pairs = q_pairs + static_cast<int>(p.key_heads) * per_head;
  for (int i = static_cast<int>(threadIdx.x); i < pairs; i += kThreads) {
    const bool of_q = i < q_pairs;
    const int mine = of_q ? i : i - q_pairs, j = mine % per_head * kWide;
    const int64_t offset = mine / per_head * p.head_dim + j;
    const T* from = (of_q ? static_cast<const T*>(p.q_THD) + token * p.q_stride
                          : static_cast<const T*>(p.k_TGD) + token * p.k_stride) +
                    offset;
    T* to = (of_q ? static_cast<T*>(p.q_out) + token * p.q_out_stride
                  : static_cast<T*>(p.k_out) + token * p.k_out_stride) +
            offset;
    Wide a = *reinterpret_cast<const Wide*>(from), b = *reinterpret_cast<const Wide*>(from + half);
#pragma unroll
    for (int c = 0; c < kWide; ++c) {
      const float sin = p.sin[row + j + c];
      const RopePair pair =
          rope_pair(to_float(a.value[c]), to_float(b.value[c]), p.cos[row + j + c], p.inverse ? -sin : sin);
      from_float(pair.low, a.value[c]);
      from_float(pair.high, b.value[c]);
    }
    *reinterpret_cast<Wide*>(to) = a;
    *reinterpret_cast<Wide*>(to + half) = b;
  }
}

}  // namespace

Status rope_cuda(const RopeParams& p, const Context& context) {
  constexpr int64_t kMaxElements = INT32_MAX;  // of one token
  if (p.tokens < 0 || p.heads < 0 || p.key_heads < 0 || p.head_dim < 2 || p.head_dim % 2 != 0)
    return Status::kInvalid;
  if (p.tokens > kMaxElements || (p.heads + p.key_heads) > kMaxElements / p.head_dim)
    return Status::kUnsupported;
  if (p.tokens == 0 || p.heads + p.key_heads == 0) return Status::kOk;
  return dispatch_float(p.type, [&]<class T>() {
    const int64_t strides = p.q_stride | p.k_stride | p.q_out_stride | p.k_out_stride | p.head_dim / 2;
    const bool wide = strides % kWidest<T> == 0 && aligned16(p.q_THD, p.k_TGD, p.q_out, p.k_out);
    return launch(wide ? rope_kernel<T, kWidest<T>> : rope_kernel<T, 1>, static_cast<unsigned>(p.tokens),
                  kThreads, 0, context, p);
  });
}

}  // namespace mmada::kernels
