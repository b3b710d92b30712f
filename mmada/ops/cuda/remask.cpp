// SPDX-License-Identifier: MIT
#include <torch/library.h>

#include "mmada/ops/cuda/kernel_context.h"
#include "mmada/ops/remask_params.h"

namespace mmada {

namespace {

/// Regions and steps lie on the device: nobody looks whether they are in range, the step waits for nothing.
void remask_cuda(MMADA_REMASK_ARGUMENTS) {
  const CudaKernelContext context(tokens);
  const kernels::RemaskParams params =
      ops::remask_params(tokens, steps_done, done, commit_steps, rule, begins, proposals, confidence, steps,
                         mask_id, threshold, counts, temperatures, streams, noise_key, active);
  check_kernel(kernels::remask_cuda(params, context), "remask_");
}

}  // namespace

TORCH_LIBRARY_IMPL(mmada, CUDA, m) { m.impl("remask_", remask_cuda); }

}  // namespace mmada
