// SPDX-License-Identifier: MIT
#include "kernels/swiglu/swiglu.h"

#include <algorithm>

#include "kernels/common/tile.h"

namespace mmada::kernels {

namespace {

template <class T>
[[gnu::always_inline]] inline void forward(const SwigluParams& p, int64_t first, int64_t size) {
  const auto *gate = static_cast<const T*>(p.gate) + first, *up = static_cast<const T*>(p.up) + first;
  auto* out = static_cast<T*>(p.out) + first;
  for_tiles(
      size, [&](int64_t begin, int64_t count) __attribute__((always_inline)) {
        float g[kTile], u[kTile];
        widen(gate + begin, count, g), widen(up + begin, count, u);
        for (int64_t c = 0; c < count; ++c) g[c] = swiglu_value(g[c], u[c]);
        narrow(g, count, out + begin);
      });
}

template <class T>
[[gnu::always_inline]] inline void backward(const SwigluParams& p, const SwigluGradients& gradients,
                                            int64_t first, int64_t size) {
  const auto *gate = static_cast<const T*>(p.gate) + first, *up = static_cast<const T*>(p.up) + first,
             *dout = static_cast<const T*>(gradients.dout) + first;
  auto *dgate = static_cast<T*>(gradients.dgate) + first, *dup = static_cast<T*>(gradients.dup) + first;
  for_tiles(
      size, [&](int64_t begin, int64_t count) __attribute__((always_inline)) {
        float g[kTile], u[kTile], d[kTile];
        widen(gate + begin, count, g), widen(up + begin, count, u), widen(dout + begin, count, d);
        for (int64_t c = 0; c < count; ++c) {
          const SwigluGradient gradient = swiglu_gradient(g[c], u[c], d[c]);
          g[c] = gradient.dgate, u[c] = gradient.dup;
        }
        narrow(g, count, dgate + begin), narrow(u, count, dup + begin);
      });
}

MMADA_SIMD_CLONES void forward_f32(const SwigluParams& p, int64_t first, int64_t size) {
  forward<float>(p, first, size);
}
MMADA_SIMD_CLONES void forward_bf16(const SwigluParams& p, int64_t first, int64_t size) {
  forward<BFloat16>(p, first, size);
}
MMADA_SIMD_CLONES void forward_f16(const SwigluParams& p, int64_t first, int64_t size) {
  forward<Float16>(p, first, size);
}
MMADA_SIMD_CLONES void backward_f32(const SwigluParams& p, const SwigluGradients& g, int64_t first,
                                    int64_t size) {
  backward<float>(p, g, first, size);
}
MMADA_SIMD_CLONES void backward_bf16(const SwigluParams& p, const SwigluGradients& g, int64_t first,
                                     int64_t size) {
  backward<BFloat16>(p, g, first, size);
}
MMADA_SIMD_CLONES void backward_f16(const SwigluParams& p, const SwigluGradients& g, int64_t first,
                                    int64_t size) {
  backward<Float16>(p, g, first, size);
}

/// Calls body(first, size) for every chunk of the elements.
template <class Body>
void for_elements(int64_t count, const Context& context, const Body& body) {
  context.for_chunks((count + kChunkElements - 1) / kChunkElements, [&](int64_t chunk) {
    const int64_t first = chunk * kChunkElements;
    body(first, std::min(kChunkElements, count - first));
  });
}

}  // namespace

Status swiglu(const SwigluParams& p, const Context& context) {
  if (p.count < 0) return Status::kInvalid;
  const auto run = of_type(p.type, forward_f32, forward_bf16, forward_f16);
  for_elements(p.count, context, [&](int64_t first, int64_t size) { run(p, first, size); });
  return Status::kOk;
}

Status swiglu_backward(const SwigluParams& p, const SwigluGradients& g, const Context& context) {
  if (p.count < 0) return Status::kInvalid;
  const auto run = of_type(p.type, backward_f32, backward_bf16, backward_f16);
  for_elements(p.count, context, [&](int64_t first, int64_t size) { run(p, g, first, size); });
  return Status::kOk;
}

}  // namespace mmada::kernels
