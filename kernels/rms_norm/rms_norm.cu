// SPDX-License-Identifier: MIT
// Forward: a block per row. The row stays in registers between the sum of squares and the scaling, kKept
// accesses per thread; what does not fit is read again (from cache).
// Backward: a block per chunk of rows (their number depends on shape alone) writes dx row by row and its part
// of dweight; a second launch adds the parts in order.
#include "kernels/common/pack.cuh"
#include "kernels/rms_norm/rms_norm.h"

namespace mmada::kernels {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kKept = 2;             // 16-bit rows up to 4096 wide never leave the registers
constexpr int64_t kMaxChunks = 264;  // two blocks for each multiprocessor of an H100

/// Sum over the block's threads, the same bits in each of them. `part` holds kWarps floats and is free
/// afterwards.
__device__ __forceinline__ float block_sum(float x, float* part) {
  for (int bits = 16; bits > 0; bits /= 2) x += __shfl_xor_sync(~0u, x, bits);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) sum += part[w];
  __syncthreads();
  return sum;
}

template <class T, int kWide>
__device__ __forceinline__ float squares_of(const Pack<T, kWide>& pack) {
  float sum = 0.0f;
#pragma unroll
  for (int c = 0; c < kWide; ++c) sum += to_float(pack.value[c]) * to_float(pack.value[c]);
  return sum;
}

/// The row's pack i: x, or x + residual, which is written to sum.
template <class T, int kWide>
__device__ __forceinline__ Pack<T, kWide> read_row(const RmsNormParams& p, int64_t at) {
  using Wide = Pack<T, kWide>;
  Wide x = static_cast<const Wide*>(p.x_ND)[at];
  if (p.residual_ND == nullptr) return x;
  const Wide residual = static_cast<const Wide*>(p.residual_ND)[at];
#pragma unroll
  for (int c = 0; c < kWide; ++c) from_float(to_float(x.value[c]) + to_float(residual.value[c]), x.value[c]);
  static_cast<Wide*>(p.sum_ND)[at] = x;
  return x;
}

template <class T, int kWide>
__device__ __forceinline__ void write_row(const RmsNormParams& p, int64_t row_at, int i, Pack<T, kWide> x,
                                          float inverse) {
  using Wide = Pack<T, kWide>;
  const Wide weight = static_cast<const Wide*>(p.weight_D)[i];
#pragma unroll
  for (int c = 0; c < kWide; ++c) {
    T normed;
    from_float(to_float(x.value[c]) * inverse, normed);
    from_float(to_float(normed) * to_float(weight.value[c]), x.value[c]);
  }
  static_cast<Wide*>(p.out_ND)[row_at + i] = x;
}

template <class T, int kWide>
__global__ void __launch_bounds__(kThreads) rms_norm_kernel(const RmsNormParams p) {
  using Wide = Pack<T, kWide>;
  auto* part = reinterpret_cast<float*>(simt::shared_memory());
  const int packs = static_cast<int>(p.width) / kWide, thread = static_cast<int>(threadIdx.x);
  const int64_t row_at = static_cast<int64_t>(blockIdx.x) * packs;
  Wide kept[kKept];
  float squares = 0.0f;
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int i = k * kThreads + thread;
    if (i >= packs) continue;
    kept[k] = read_row<T, kWide>(p, row_at + i);
    squares += squares_of(kept[k]);
  }
  for (int i = kKept * kThreads + thread; i < packs; i += kThreads)
    squares += squares_of(read_row<T, kWide>(p, row_at + i));
  const float mean = block_sum(squares, part) / static_cast<float>(p.width);
  const float inverse = rsqrtf(mean + p.eps);
  if (p.inverse_rms_N != nullptr && thread == 0) p.inverse_rms_N[blockIdx.x] = inverse;
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int i = k * kThreads + thread;
    if (i < packs) write_row<T, kWide>(p, row_at, i, kept[k], inverse);
  }
  const void* source =
      p.residual_ND != nullptr ? p.sum_ND : p.x_ND;  // each thread reads what it wrote itself
  for (int i = kKept * kThreads + thread; i < packs; i += kThreads)
    write_row<T, kWide>(p, row_at, i, static_cast<const Wide*>(source)[row_at + i], inverse);
}

struct Chunks {
  int64_t count, rows;
};
Chunks chunks_of(const RmsNormParams& p) {
  const int64_t rows = (p.rows + kMaxChunks - 1) / kMaxChunks;
  return {rows > 0 ? (p.rows + rows - 1) / rows : 0, rows};
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    rms_norm_backward_kernel(const RmsNormParams p, const RmsNormGradients g, const Chunks chunks,
                             float* parts) {
  auto* part = reinterpret_cast<float*>(simt::shared_memory());
  const int width = static_cast<int>(p.width), thread = static_cast<int>(threadIdx.x);
  float* own = parts + blockIdx.x * p.width;  // dweight of this chunk
  for (int d = thread; d < width; d += kThreads) own[d] = 0.0f;
  const int64_t end = min((blockIdx.x + 1) * chunks.rows, p.rows);
  for (int64_t n = blockIdx.x * chunks.rows; n < end; ++n) {
    const T *x = static_cast<const T*>(p.x_ND) + n * p.width,
            *dout = static_cast<const T*>(g.dout_ND) + n * p.width;
    const T *weight = static_cast<const T*>(p.weight_D), *dsum = static_cast<const T*>(g.dsum_ND);
    const float inverse = p.inverse_rms_N[n];
    float product = 0.0f;
    for (int d = thread; d < width; d += kThreads) {
      const float y = to_float(x[d]) * inverse, dy = to_float(dout[d]);
      product += dy * to_float(weight[d]) * y;
      own[d] += dy * y;
    }
    const float mean = block_sum(product, part) / static_cast<float>(p.width);
    for (int d = thread; d < width; d += kThreads) {
      const float y = to_float(x[d]) * inverse;
      const float dx = inverse * (to_float(dout[d]) * to_float(weight[d]) - y * mean);
      from_float(dx + (dsum != nullptr ? to_float(dsum[n * p.width + d]) : 0.0f),
                 static_cast<T*>(g.dx_ND)[n * p.width + d]);
    }
  }
}

__global__ void add_parts_kernel(int64_t chunks, int64_t width, const float* parts, float* dweight_D) {
  const int64_t d = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (d >= width) return;
  float sum = 0.0f;
  for (int64_t k = 0; k < chunks; ++k) sum += parts[k * width + d];
  dweight_D[d] = sum;
}

Status check(const RmsNormParams& p) {
  if (p.rows < 0 || p.width < 1 || (p.residual_ND != nullptr && p.sum_ND == nullptr)) return Status::kInvalid;
  return p.rows > INT32_MAX || p.width > INT32_MAX / 2 ? Status::kUnsupported : Status::kOk;
}

}  // namespace

size_t rms_norm_backward_workspace_size(const RmsNormParams& p) {
  return static_cast<size_t>(chunks_of(p).count * p.width) * sizeof(float);
}

Status rms_norm_cuda(const RmsNormParams& p, const Context& context) {
  if (const Status status = check(p); status != Status::kOk || p.rows == 0) return status;
  return dispatch_float(p.type, [&]<class T>() {
    const bool wide =
        p.width % kWidest<T> == 0 && aligned16(p.x_ND, p.residual_ND, p.sum_ND, p.weight_D, p.out_ND);
    return launch(wide ? rms_norm_kernel<T, kWidest<T>> : rms_norm_kernel<T, 1>,
                  static_cast<unsigned>(p.rows), kThreads, kWarps * sizeof(float), context, p);
  });
}

Status rms_norm_backward_cuda(const RmsNormParams& p, const RmsNormGradients& g, const Context& context) {
  if (const Status status = check(p); status != Status::kOk) return status;
  if (context.workspace_bytes < rms_norm_backward_workspace_size(p)) return Status::kWorkspaceTooSmall;
  const Chunks chunks = chunks_of(p);
  auto* parts = static_cast<float*>(context.workspace);
  if (chunks.count > 0) {
    const Status status = dispatch_float(p.type, [&]<class T>() {
      return launch(rms_norm_backward_kernel<T>, static_cast<unsigned>(chunks.count), kThreads,
                    kWarps * sizeof(float), context, p, g, chunks, parts);
    });
    if (status != Status::kOk) return status;
  }
  const auto blocks = static_cast<unsigned>((p.width + kThreads - 1) / kThreads);
  return launch(add_parts_kernel, blocks, kThreads, 0, context, chunks.count, p.width, parts, g.dweight_D);
}

}  // namespace mmada::kernels
