// SPDX-License-Identifier: MIT
#include "mmada/model/query_plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "mmada/core/check.h"

namespace mmada {
namespace {

// The positions' indices by row.
std::vector<std::vector<int64_t>> by_row(const at::Tensor& positions, int64_t rows, int64_t tokens) {
  std::vector<std::vector<int64_t>> members(rows);
  const int64_t* data = positions.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < positions.numel(); ++i) {
    MMADA_CHECK(0 <= data[i] && data[i] < rows * tokens, "transformer: found position ", data[i],
                ", expected 0 to ", rows * tokens - 1, " (", rows, " rows of ", tokens, " tokens)");
    members[data[i] / tokens].push_back(i);
  }
  return members;
}

at::Tensor checked(const at::Tensor& positions_N) {
  MMADA_CHECK(positions_N.dim() == 1 && positions_N.scalar_type() == at::kLong,
              "transformer: found positions ", positions_N.sizes(), " of type ", positions_N.scalar_type(),
              ", expected [N] of int64");
  return positions_N.cpu().contiguous();
}

}  // namespace

QueryPlan::QueryPlan(const at::Tensor& positions_N, const std::vector<int64_t>& offsets, at::Device device) {
  const at::Tensor positions = checked(positions_N);
  by_row(positions, 1, offsets.back());  // throws where a position is outside
  const at::Tensor begins = at::tensor(offsets, at::kLong);
  const at::Tensor row = at::searchsorted(begins, positions, /*out_int32=*/false, /*right=*/true) - 1;
  const at::Tensor token = positions - begins.index_select(0, row);
  const at::Tensor source = at::argsort(positions), slot = at::argsort(source);
  flat_N = positions.to(device);
  token_N = token.to(device);
  token_BP = token.index_select(0, source).unsqueeze(0).to(device);
  if (at::equal(source, at::arange(source.size(0), source.options()))) return;
  source_BP_ = source.to(device);
  slot_N_ = slot.to(device);
}

QueryPlan::QueryPlan(const at::Tensor& positions_N, int64_t rows, int64_t tokens, at::Device device) {
  const at::Tensor positions = checked(positions_N);
  const auto members = by_row(positions, rows, tokens);
  size_t widest = 0;
  for (const auto& row : members) widest = std::max(widest, row.size());
  const auto width = static_cast<int64_t>(widest);

  at::Tensor source = at::zeros({rows, width}, at::kLong), slot = at::empty({positions.numel()}, at::kLong);
  at::Tensor token = at::zeros({rows, width}, at::kLong);
  for (int64_t b = 0; b < rows; ++b)
    for (int64_t p = 0; p < static_cast<int64_t>(members[b].size()); ++p) {
      const int64_t i = members[b][p];
      source.mutable_data_ptr<int64_t>()[b * width + p] = i;
      token.mutable_data_ptr<int64_t>()[b * width + p] = positions.const_data_ptr<int64_t>()[i] % tokens;
      slot.mutable_data_ptr<int64_t>()[i] = b * width + p;
    }
  flat_N = positions.to(device);
  token_N = positions.remainder(tokens).to(device);
  token_BP = token.to(device);
  const bool rectangular =
      positions.numel() == rows * width && at::equal(slot, at::arange(rows * width, slot.options()));
  if (rectangular) {
    token_BP = token_N.view({rows, width});
    return;
  }
  source_BP_ = source.flatten().to(device);
  slot_N_ = slot.to(device);
}

at::Tensor QueryPlan::to_rows(const at::Tensor& x_N) const {
  return (source_BP_ ? x_N.index_select(0, *source_BP_) : x_N).unflatten(0, token_BP.sizes());
}

at::Tensor QueryPlan::from_rows(const at::Tensor& x_BP) const {
  const at::Tensor flat = x_BP.flatten(0, 1);
  return slot_N_ ? flat.index_select(0, *slot_N_) : flat;
}

}  // namespace mmada
