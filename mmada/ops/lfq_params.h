// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include "kernels/lfq/lfq.h"
#include "mmada/core/check.h"
#include "mmada/ops/kernel_context.h"

namespace mmada::ops {

/// The kernels' operands out of checked tensors, and the result's memory: what the CPU and the CUDA
/// implementation share.
struct LfqPackCall {
  explicit LfqPackCall(const at::Tensor& latent_BChw) : latent(latent_BChw.contiguous()) {
    MMADA_CHECK(latent.dim() == 4 && latent.size(1) >= 1 && latent.size(1) <= 62,
                "mmada::lfq_pack: latent: found shape ", latent.sizes(), ", expected [B, 1 to 62, h, w]");
    const auto type = kernel_float_type(latent.scalar_type());
    MMADA_CHECK(type, "mmada::lfq_pack: latent: found ", latent.scalar_type(),
                ", expected fp32, bf16 or fp16");
    codes = at::empty({latent.size(0), latent.size(2), latent.size(3)}, latent.options().dtype(at::kLong));
    params = {.latent = latent.const_data_ptr(),
              .type = *type,
              .codes = codes.mutable_data_ptr<int64_t>(),
              .batch = latent.size(0),
              .bits = latent.size(1),
              .positions = latent.size(2) * latent.size(3)};
  }

  at::Tensor latent, codes;
  kernels::LfqPackParams params;
};

struct LfqUnpackCall {
  LfqUnpackCall(const at::Tensor& codes_Bhw, int64_t bits, at::ScalarType dtype)
      : codes(codes_Bhw.contiguous()) {
    MMADA_CHECK(codes.dim() == 3 && codes.scalar_type() == at::kLong && bits >= 1 && bits <= 62,
                "mmada::lfq_unpack: codes: found ", codes.scalar_type(), " of shape ", codes.sizes(), " for ",
                bits, " bits, expected int64 [B, h, w] and 1 to 62 bits");
    const auto type = kernel_float_type(dtype);
    MMADA_CHECK(type, "mmada::lfq_unpack: found type ", dtype, ", expected fp32, bf16 or fp16");
    latent = at::empty({codes.size(0), bits, codes.size(1), codes.size(2)}, codes.options().dtype(dtype));
    params = {.codes = codes.const_data_ptr<int64_t>(),
              .latent = latent.mutable_data_ptr(),
              .type = *type,
              .batch = codes.size(0),
              .bits = bits,
              .positions = codes.size(1) * codes.size(2)};
  }

  at::Tensor codes, latent;
  kernels::LfqUnpackParams params;
};

}  // namespace mmada::ops
