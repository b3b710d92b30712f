// SPDX-License-Identifier: MIT
#include "mmada/ops/lfq.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/library.h>

#include "mmada/ops/dispatch.h"
#include "mmada/ops/lfq_params.h"

namespace mmada {

namespace {

using at::Tensor;
using PackSignature = Tensor(const Tensor&);
using UnpackSignature = Tensor(const Tensor&, int64_t, at::ScalarType);

/// The CPU kernels take fp32 and bf16; other types pass through fp32, which holds every fp16 and fp64's sign.
at::ScalarType cpu_type(at::ScalarType type) { return type == at::kBFloat16 ? type : at::kFloat; }

Tensor pack_cpu(const Tensor& latent) {
  const ops::LfqPackCall call(latent.scalar_type() == at::kDouble
                                  ? latent.sign().to(at::kFloat)
                                  : latent.to(cpu_type(latent.scalar_type())));
  check_kernel(kernels::lfq_pack(call.params, CpuKernelContext()), "lfq_pack");
  return call.codes;
}

Tensor unpack_cpu(const Tensor& codes, int64_t bits, at::ScalarType dtype) {
  const ops::LfqUnpackCall call(codes, bits, cpu_type(dtype));
  check_kernel(kernels::lfq_unpack(call.params, CpuKernelContext()), "lfq_unpack");
  return call.latent.to(dtype);
}

Tensor pack_meta(const Tensor& latent) {
  return at::empty({latent.size(0), latent.size(2), latent.size(3)}, latent.options().dtype(at::kLong));
}

Tensor unpack_meta(const Tensor& codes, int64_t bits, at::ScalarType dtype) {
  return at::empty({codes.size(0), bits, codes.size(1), codes.size(2)}, codes.options().dtype(dtype));
}

/// Codes have no gradient; training passes the quantizer straight through (mmada/vision/lfq.h).
Tensor pack_autograd(const Tensor& latent) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  return lfq_pack(latent.detach());
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def("lfq_pack(Tensor latent) -> Tensor");
  m.def("lfq_unpack(Tensor codes, int bits, ScalarType dtype) -> Tensor");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) {
  m.impl("lfq_pack", pack_cpu);
  m.impl("lfq_unpack", unpack_cpu);
}
TORCH_LIBRARY_IMPL(mmada, Meta, m) {
  m.impl("lfq_pack", pack_meta);
  m.impl("lfq_unpack", unpack_meta);
}
TORCH_LIBRARY_IMPL(mmada, Autograd, m) { m.impl("lfq_pack", pack_autograd); }

Tensor lfq_pack(const Tensor& latent_BChw) {
  static const auto op = find_op<PackSignature>("mmada::lfq_pack");
  return op.call(latent_BChw);
}

Tensor lfq_unpack(const Tensor& codes_Bhw, int64_t bits, at::ScalarType dtype) {
  static const auto op = find_op<UnpackSignature>("mmada::lfq_unpack");
  return op.call(codes_Bhw, bits, dtype);
}

}  // namespace mmada
