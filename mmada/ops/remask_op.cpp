// SPDX-License-Identifier: MIT
#include "mmada/ops/remask_op.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include "mmada/ops/dispatch.h"
#include "mmada/ops/remask_params.h"

namespace mmada {
namespace {

struct Cpu {
  static constexpr bool kHasMemory = true;
  static void run(const kernels::RemaskParams& params, const at::Tensor&) {
    for (int64_t b = 0; b < params.batch; ++b) {
      const int32_t begin = params.begins_B[b], at_step = params.steps_B[b];
      MMADA_CHECK(
          begin >= 0 && begin + params.slots <= params.token_stride && at_step >= 0 && at_step < params.steps,
          "mmada::remask_: row ", b, ": found a region from token ", begin, " and step ", at_step,
          ", expected [0, ", params.token_stride - params.slots, "] and [0, ", params.steps, ")");
    }
    check_kernel(kernels::remask(params, CpuKernelContext()), "remask_");
  }
};

struct Meta {
  static constexpr bool kHasMemory = false;
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmada, m) {
  m.def(
      "remask_(Tensor(a!) tokens, Tensor(b!) steps_done, Tensor(c!) done, Tensor(d!)? commit_steps, str "
      "rule, Tensor begins, "
      "Tensor proposals, Tensor confidence, int steps, int mask_id, float threshold=0.0, Tensor? "
      "counts=None, Tensor? "
      "temperatures=None, Tensor? streams=None, Tensor? noise_key=None, Tensor? active=None) -> ()");
}
TORCH_LIBRARY_IMPL(mmada, CPU, m) { m.impl("remask_", ops::remask_on<Cpu>); }
TORCH_LIBRARY_IMPL(mmada, Meta, m) { m.impl("remask_", ops::remask_on<Meta>); }

void remask_op(RemaskState& state, const RemaskStep& step) {
  static const auto op = find_op<decltype(ops::remask_on<Cpu>)>("mmada::remask_");
  op.call(state.tokens_BT, state.steps_B, state.done_B, state.commit_steps_BT,
          c10::string_view(step.rule.data(), step.rule.size()), step.begins_B, step.proposals_BR,
          step.confidence_BR, step.steps, step.mask_id, step.threshold, step.counts_BS, step.temperatures_S,
          step.streams_B, step.noise_key, step.active_B);
}

}  // namespace mmada
