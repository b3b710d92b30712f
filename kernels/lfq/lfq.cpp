// SPDX-License-Identifier: MIT
#include "kernels/lfq/lfq.h"

#include <algorithm>

namespace mmada::kernels {

namespace {

template <class T>
void pack_sample(const LfqPackParams& p, int64_t n) {
  const T* latent = static_cast<const T*>(p.latent) + n * p.bits * p.positions;
  int64_t* codes = p.codes + n * p.positions;
  std::fill(codes, codes + p.positions, 0);
  for (int64_t c = 0; c < p.bits; ++c)
    for (int64_t i = 0; i < p.positions; ++i)
      codes[i] = lfq_append(codes[i], to_float(latent[c * p.positions + i]));
}

template <class T>
void unpack_sample(const LfqUnpackParams& p, int64_t n) {
  const int64_t* codes = p.codes + n * p.positions;
  T* latent = static_cast<T*>(p.latent) + n * p.bits * p.positions;
  for (int64_t c = 0; c < p.bits; ++c)
    for (int64_t i = 0; i < p.positions; ++i)
      from_float(lfq_latent(codes[i], c, p.bits), latent[c * p.positions + i]);
}

}  // namespace

Status lfq_pack(const LfqPackParams& params, const Context& context) {
  if (const Status status = check_lfq(params); status != Status::kOk) return status;
  if (params.type == FloatType::kF16) return Status::kUnsupported;
  const auto run = params.type == FloatType::kF32 ? pack_sample<float> : pack_sample<BFloat16>;
  context.for_chunks(params.batch, [&](int64_t n) { run(params, n); });
  return Status::kOk;
}

Status lfq_unpack(const LfqUnpackParams& params, const Context& context) {
  if (const Status status = check_lfq(params); status != Status::kOk) return status;
  if (params.type == FloatType::kF16) return Status::kUnsupported;
  const auto run = params.type == FloatType::kF32 ? unpack_sample<float> : unpack_sample<BFloat16>;
  context.for_chunks(params.batch, [&](int64_t n) { run(params, n); });
  return Status::kOk;
}

}  // namespace mmada::kernels
