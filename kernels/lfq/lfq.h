// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/common/context.h"
#include "kernels/common/float_types.h"

namespace mmada::kernels {

/// Lookup-free quantisation's codes: channel c of `bits` latents is one bit, 1 where it is above zero (zero,
/// negatives and NaN: 0), channel 0 the most significant. Latents are [batch, bits, positions], codes [batch,
/// positions], dense.

/// The code with one more bit from the next channel's latent.
MMADA_HOST_DEVICE inline int64_t lfq_append(int64_t code, float latent) {
  return code << 1 | (latent > 0.0f ? 1 : 0);
}
/// The latent of a code's channel: 1 or -1.
MMADA_HOST_DEVICE inline float lfq_latent(int64_t code, int64_t channel, int64_t bits) {
  return static_cast<float>((code >> (bits - 1 - channel) & 1) * 2 - 1);
}

struct LfqPackParams {
  const void* latent = nullptr;
  FloatType type = FloatType::kF32;
  int64_t* codes = nullptr;
  int64_t batch = 0, bits = 0, positions = 0;  ///< bits: 1 to 62
};

struct LfqUnpackParams {
  const int64_t* codes = nullptr;
  void* latent = nullptr;
  FloatType type = FloatType::kF32;
  int64_t batch = 0, bits = 0, positions = 0;
};

/// CPU: fp32 and bf16.
[[nodiscard]] Status lfq_pack(const LfqPackParams& params, const Context& context);
[[nodiscard]] Status lfq_unpack(const LfqUnpackParams& params, const Context& context);
/// CUDA: fp32, bf16 and fp16; in libmmada_cuda.so.
[[nodiscard]] Status lfq_pack_cuda(const LfqPackParams& params, const Context& context);
[[nodiscard]] Status lfq_unpack_cuda(const LfqUnpackParams& params, const Context& context);

template <class Params>
Status check_lfq(const Params& p) {
  return p.batch < 0 || p.positions < 0 || p.bits < 1 || p.bits > 62 ? Status::kInvalid : Status::kOk;
}

}  // namespace mmada::kernels
