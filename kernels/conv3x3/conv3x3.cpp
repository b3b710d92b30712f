// SPDX-License-Identifier: MIT
#include "kernels/conv3x3/conv3x3.h"

#include <algorithm>

#include "kernels/common/slots.h"
#include "kernels/conv3x3/winograd.h"

namespace mmada::kernels {

namespace {

using winograd::kPanelGroup;
using winograd::Plan;
using winograd::Steps;

/// A convolution's memory: [zeros (in), shared, slots...].
struct Memory {
  Memory(const Conv3x3Params& p, const Plan& plan, const Context& context)
      : zeros_C(static_cast<float*>(context.workspace)),
        shared(zeros_C + p.in_channels),
        slots(shared + plan.shared_size(),
              (static_cast<int64_t>(context.workspace_bytes / sizeof(float)) - p.in_channels -
               plan.shared_size()) /
                  plan.slot_size(),
              plan.slot_size()) {
    std::fill(zeros_C, shared, 0.0f);
  }

  float* zeros_C;
  float* shared;
  Slots slots;
};

/// Many tiles: weights first, then block by block.
void run_shared_weights(const Steps& steps, const Conv3x3Params& p, const Plan& plan, const Context& context,
                        Memory& memory) {
  context.for_chunks(plan.panels, [&](int64_t panel) {
    steps.weights(p, plan, panel, 0, memory.shared + panel * plan.weight_size());
  });
  context.for_chunks(plan.blocks, [&](int64_t block) {
    const Slots::Loan loan(memory.slots);
    float *products = loan.memory(), *inputs = products + plan.slot_products() * Plan::product_size();
    steps.input(p, plan, block, memory.zeros_C, inputs);
    for (int64_t first = 0; first < plan.panels; first += kPanelGroup) {
      const int64_t panels = std::min(kPanelGroup, plan.panels - first);
      steps.multiply(p, plan,
                     {.block = block,
                      .panels = panels,
                      .depth = p.in_channels,
                      .inputs = inputs,
                      .weights = memory.shared + first * plan.weight_size(),
                      .products = products,
                      .add = false});
      for (int64_t i = 0; i < panels; ++i)
        steps.output(p, plan, block, first + i, products + i * Plan::product_size());
    }
  });
}

/// Few tiles: inputs first, then panel by panel.
void run_shared_inputs(const Steps& steps, const Conv3x3Params& p, const Plan& plan, const Context& context,
                       Memory& memory) {
  context.for_chunks(plan.blocks, [&](int64_t block) {
    steps.input(p, plan, block, memory.zeros_C, memory.shared + block * plan.input_size());
  });
  context.for_chunks(plan.panels, [&](int64_t panel) {
    const Slots::Loan loan(memory.slots);
    float *products = loan.memory(), *weights = products + plan.slot_products() * Plan::product_size();
    for (int64_t first = 0; first < p.in_channels; first += plan.depth) {
      steps.weights(p, plan, panel, first, weights);
      for (int64_t block = 0; block < plan.blocks; ++block)
        steps.multiply(p, plan,
                       {.block = block,
                        .panels = 1,
                        .depth = std::min(plan.depth, p.in_channels - first),
                        .inputs = memory.shared + block * plan.input_size() + first,
                        .weights = weights,
                        .products = products + block * Plan::product_size(),
                        .add = first > 0});
    }
    for (int64_t block = 0; block < plan.blocks; ++block)
      steps.output(p, plan, block, panel, products + block * Plan::product_size());
  });
}

}  // namespace

size_t conv3x3_workspace_size(const Conv3x3Params& p, int64_t threads) {
  const Plan plan(p);
  const int64_t chunks = plan.inputs_are_shared ? plan.panels : plan.blocks;
  const int64_t slots = std::max<int64_t>(1, std::min(threads, chunks));
  return static_cast<size_t>(p.in_channels + plan.shared_size() + slots * plan.slot_size()) * sizeof(float);
}

Status winograd::conv3x3_with(const Steps& steps, const Conv3x3Params& p, const Context& context) {
  if (p.batch < 0 || p.height < 0 || p.width < 0 || p.in_channels < 1 || p.out_channels < 1)
    return Status::kInvalid;
  if (p.in_channels % kPanel != 0 || p.out_channels % kPanel != 0) return Status::kUnsupported;
  if (context.workspace_bytes < conv3x3_workspace_size(p, 1)) return Status::kWorkspaceTooSmall;
  const Plan plan(p);
  if (plan.tiles == 0) return Status::kOk;
  Memory memory(p, plan, context);
  (plan.inputs_are_shared ? run_shared_inputs : run_shared_weights)(steps, p, plan, context, memory);
  return Status::kOk;
}

Status conv3x3(const Conv3x3Params& params, const Context& context) {
  static const Steps& best =
      *std::ranges::find_if(winograd::all_steps(), [](const Steps& steps) { return steps.is_supported(); });
  return winograd::conv3x3_with(best, params, context);
}

}  // namespace mmada::kernels
