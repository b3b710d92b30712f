// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/common/host_device.h"
#include "kernels/common/math.h"
#include "kernels/group_norm_silu/group_norm_silu.h"

namespace mmada::kernels::group_norm {

/// Sums over the elements x of one group in one chunk of positions, counted from the group's pivot.
struct Moments {
  double sum = 0, squares = 0;
};

/// What normalisation and affine come to for one channel: y = silu((x - mean) * scale + bias). Subtracting
/// first keeps the digits where the variance is small beside the mean.
struct Affine {
  float mean, scale, bias;
};

MMADA_HOST_DEVICE inline float apply_affine(float x, Affine a) {
  return silu((x - a.mean) * a.scale + a.bias);
}

MMADA_HOST_DEVICE inline Affine make_affine(Moments total, int64_t count, float pivot, float weight,
                                            float bias, float eps) {
  const double mean = total.sum / static_cast<double>(count);
  double variance = total.squares / static_cast<double>(count) - mean * mean;
  variance = variance > 0 ? variance : 0;
#ifdef __CUDA_ARCH__
  const double scale = weight * rsqrt(variance + eps);
#else
  const double scale = weight / __builtin_sqrt(variance + eps);
#endif
  return {static_cast<float>(mean + pivot), static_cast<float>(scale), bias};
}

/// How the work is cut: by shape alone.
struct Plan {
  static constexpr int64_t kChunkElements = int64_t{1} << 16;

  explicit Plan(const GroupNormSiluParams& p)
      : chunk_positions(kChunkElements / p.channels > 0 ? kChunkElements / p.channels : 1),
        chunks((p.positions + chunk_positions - 1) / chunk_positions) {}

  int64_t chunk_positions;
  int64_t chunks;  ///< per sample
};

inline Status check(const GroupNormSiluParams& p, const Context& context) {
  if (p.batch < 0 || p.positions < 0 || p.channels < 1 || p.groups < 1 || p.channels % p.groups != 0)
    return Status::kInvalid;
  return context.workspace_bytes < group_norm_silu_workspace_size(p) ? Status::kWorkspaceTooSmall
                                                                     : Status::kOk;
}

/// Workspace: moments [batch, chunks, groups], then affine [batch, channels].
inline Moments* moments_of(const Context& context) { return static_cast<Moments*>(context.workspace); }
inline Affine* affine_of(const GroupNormSiluParams& p, const Context& context) {
  return reinterpret_cast<Affine*>(moments_of(context) + p.batch * Plan(p).chunks * p.groups);
}

}  // namespace mmada::kernels::group_norm
