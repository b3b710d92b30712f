// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include "kernels/remask/remask.h"
#include "mmada/core/check.h"
#include "mmada/ops/kernel_context.h"
#include "mmada/ops/random_key.h"

namespace mmada::ops {

using OptionalTensor = std::optional<at::Tensor>;

inline kernels::RemaskRule remask_rule_from_name(std::string_view name) {
  using kernels::RemaskRule;
  if (name == "count") return RemaskRule::kCount;
  if (name == "threshold") return RemaskRule::kThreshold;
  if (name == "factor") return RemaskRule::kFactor;
  if (name == "maskgit") return RemaskRule::kMaskGit;
  throw Error(
      cat("mmada::remask_: rule: found \"", name, "\", expected count, threshold, factor or maskgit"));
}

/// mmada::remask_ on a device: checks the tensors and hands the kernel's operands to Device::run. The only
/// place that spells the schema's arguments.
template <class Device>
void remask_on(const at::Tensor& tokens, const at::Tensor& steps_done, const at::Tensor& done,
               const OptionalTensor& commit_steps, c10::string_view rule, const at::Tensor& begins,
               const at::Tensor& proposals, const at::Tensor& confidence, int64_t steps, int64_t mask_id,
               double threshold, const OptionalTensor& counts, const OptionalTensor& temperatures,
               const OptionalTensor& streams, const OptionalTensor& noise_key, const OptionalTensor& active) {
  const int64_t batch = tokens.dim() == 2 ? tokens.size(0) : -1,
                slots = proposals.dim() == 2 ? proposals.size(1) : -1;
  const auto check = [&](const char* name, const at::Tensor& x, at::ScalarType type,
                         std::vector<int64_t> shape) {
    MMADA_CHECK(x.scalar_type() == type && x.sizes() == at::IntArrayRef(shape) &&
                    x.device() == tokens.device() && x.is_contiguous(),
                "mmada::remask_: ", name, ": found ", x.scalar_type(), " ", x.sizes(), " on ", x.device(),
                ", expected dense ", type, " ", at::IntArrayRef(shape), " on ", tokens.device());
  };
  const auto check_some = [&](const char* name, const OptionalTensor& x, at::ScalarType type,
                              std::vector<int64_t> shape) {
    if (x) check(name, *x, type, std::move(shape));
  };
  MMADA_CHECK(batch >= 0 && slots >= 1 && slots <= tokens.size(1) && steps >= 1,
              "mmada::remask_: found tokens ", tokens.sizes(), ", proposals ", proposals.sizes(), " and ",
              steps, " steps, expected [B, T], [B, R] with R at most T, and at least 1");
  check("tokens", tokens, at::kInt, {batch, tokens.size(1)});
  check("steps_done", steps_done, at::kInt, {batch});
  check("done", done, at::kByte, {batch});
  check_some("commit_steps", commit_steps, at::kInt, {batch, tokens.size(1)});
  check("begins", begins, at::kInt, {batch});
  check("proposals", proposals, at::kInt, {batch, slots});
  check("confidence", confidence, at::kFloat, {batch, slots});
  check_some("counts", counts, at::kInt, {batch, steps});
  check_some("temperatures", temperatures, at::kFloat, {steps});
  check_some("streams", streams, at::kInt, {batch});
  check_some("active", active, at::kByte, {batch});
  const bool noisy =
      remask_rule_from_name({rule.data(), rule.size()}) == kernels::RemaskRule::kMaskGit && temperatures;
  MMADA_CHECK(!noisy || (streams && noise_key), "mmada::remask_: ", streams ? "noise_key" : "streams",
              ": found none, expected it where maskgit has temperatures");
  if constexpr (Device::kHasMemory) {
    const auto ints = [](const OptionalTensor& x) { return x ? x->const_data_ptr<int32_t>() : nullptr; };
    Device::run({.tokens_BT = tokens.mutable_data_ptr<int32_t>(),
                 .commit_step_BT = commit_steps ? commit_steps->mutable_data_ptr<int32_t>() : nullptr,
                 .token_stride = tokens.size(1),
                 .begins_B = begins.const_data_ptr<int32_t>(),
                 .proposals_BR = proposals.const_data_ptr<int32_t>(),
                 .confidence_BR = confidence.const_data_ptr<float>(),
                 .counts_BS = ints(counts),
                 .temperatures_S = temperatures ? temperatures->const_data_ptr<float>() : nullptr,
                 .streams_B = reinterpret_cast<const uint32_t*>(ints(streams)),
                 .noise_key = checked_key("mmada::remask_", "noise_key", noise_key, tokens.device()),
                 .threshold = static_cast<float>(threshold),
                 .steps_B = steps_done.mutable_data_ptr<int32_t>(),
                 .active_B = active ? active->const_data_ptr<uint8_t>() : nullptr,
                 .done_B = done.mutable_data_ptr<uint8_t>(),
                 .rule = remask_rule_from_name({rule.data(), rule.size()}),
                 .mask_id = static_cast<int32_t>(mask_id),
                 .batch = batch,
                 .slots = slots,
                 .steps = steps},
                tokens);
  }
}

}  // namespace mmada::ops
