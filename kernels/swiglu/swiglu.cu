// SPDX-License-Identifier: MIT
// Element by element, 16 bytes per access; bound by memory: 3 elements moved forward, 5 backward.
#include "kernels/common/pack.cuh"
#include "kernels/swiglu/swiglu.h"

namespace mmada::kernels {

namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ int64_t first_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t index_step() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

template <class T, int kWide>
__global__ void swiglu_kernel(const SwigluParams p) {
  using Wide = Pack<T, kWide>;
  for (int64_t i = first_index(); i < p.count / kWide; i += index_step()) {
    Wide gate = static_cast<const Wide*>(p.gate)[i];
    const Wide up = static_cast<const Wide*>(p.up)[i];
#pragma unroll
    for (int k = 0; k < kWide; ++k)
      from_float(swiglu_value(to_float(gate.value[k]), to_float(up.value[k])), gate.value[k]);
    static_cast<Wide*>(p.out)[i] = gate;
  }
}

template <class T, int kWide>
__global__ void swiglu_backward_kernel(const SwigluParams p, const SwigluGradients g) {
  using Wide = Pack<T, kWide>;
  for (int64_t i = first_index(); i < p.count / kWide; i += index_step()) {
    Wide gate = static_cast<const Wide*>(p.gate)[i], up = static_cast<const Wide*>(p.up)[i];
    const Wide dout = static_cast<const Wide*>(g.dout)[i];
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      const SwigluGradient gradient =
          swiglu_gradient(to_float(gate.value[k]), to_float(up.value[k]), to_float(dout.value[k]));
      from_float(gradient.dgate, gate.value[k]);
      from_float(gradient.dup, up.value[k]);
    }
    static_cast<Wide*>(g.dgate)[i] = gate;
    static_cast<Wide*>(g.dup)[i] = up;
  }
}

}  // namespace

Status swiglu_cuda(const SwigluParams& p, const Context& context) {
  if (p.count < 0) return Status::kInvalid;
  if (p.count == 0) return Status::kOk;
  return dispatch_float(p.type, [&]<class T>() {
    const bool wide = p.count % kWidest<T> == 0 && aligned16(p.gate, p.up, p.out);
    const int64_t accesses = wide ? p.count / kWidest<T> : p.count;
    return launch(wide ? swiglu_kernel<T, kWidest<T>> : swiglu_kernel<T, 1>, blocks_for(accesses, kThreads),
                  kThreads, 0, context, p);
  });
}

Status swiglu_backward_cuda(const SwigluParams& p, const SwigluGradients& g, const Context& context) {
  if (p.count < 0) return Status::kInvalid;
  if (p.count == 0) return Status::kOk;
  return dispatch_float(p.type, [&]<class T>() {
    const bool wide = p.count % kWidest<T> == 0 && aligned16(p.gate, p.up, g.dout, g.dgate, g.dup);
    const int64_t accesses = wide ? p.count / kWidest<T> : p.count;
    return launch(wide ? swiglu_backward_kernel<T, kWidest<T>> : swiglu_backward_kernel<T, 1>,
                  blocks_for(accesses, kThreads), kThreads, 0, context, p, g);
  });
}

}  // namespace mmada::kernels
