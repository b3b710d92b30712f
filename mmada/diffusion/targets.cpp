// SPDX-License-Identifier: MIT
#include "mmada/diffusion/targets.h"

#include <ATen/ATen.h>

#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr std::string_view kFlowNames[] = {"t2i", "lm", "lm_chat", "mmu", "r2i"};

std::vector<int64_t> t2i_positions(const NoisedRow& row, const LossCompat& compat) {
  std::vector<int64_t> positions;
  if (compat.t2i_boundary_targets) positions.push_back(row.image.begin - 1);
  positions.insert(positions.end(), row.predicted.begin(), row.predicted.end());
  if (compat.t2i_boundary_targets) positions.push_back(row.image.end);
  return positions;
}

RowTargets with_weight(const NoisedRow& row, std::vector<int64_t> positions, double weight) {
  RowTargets targets;
  targets.weights.assign(positions.size(), static_cast<float>(weight));
  targets.targets.reserve(positions.size());
  for (const int64_t position : positions) targets.targets.push_back(row.clean[position]);
  targets.positions = std::move(positions);
  return targets;
}

std::vector<RowTargets> t2i_targets(std::span<const NoisedRow> rows, const FlowTotals& step,
                                    const LossCompat& compat) {
  std::vector<RowTargets> targets;
  targets.reserve(rows.size());
  for (const NoisedRow& row : rows) {
    std::vector<int64_t> positions = t2i_positions(row, compat);
    const int64_t denominator =
        compat.t2i_inverse_time ? static_cast<int64_t>(positions.size()) * step.rows : step.targets;
    targets.push_back(with_weight(row, std::move(positions), 1.0 / static_cast<double>(denominator)));
  }
  return targets;
}

at::Tensor integers(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

}  // namespace

FlowKind flow_kind_from_name(std::string_view name) {
  for (size_t i = 0; i < std::size(kFlowNames); ++i)
    if (kFlowNames[i] == name) return static_cast<FlowKind>(i);
  throw Error(cat("flow: found \"", name, "\", expected t2i, lm, lm_chat, mmu or r2i"));
}

std::string_view flow_kind_name(FlowKind kind) { return kFlowNames[static_cast<size_t>(kind)]; }

FlowTotals flow_totals(FlowKind kind, std::span<const NoisedRow> rows, const LossCompat& compat) {
  FlowTotals totals{.rows = static_cast<int64_t>(rows.size())};
  for (const NoisedRow& row : rows)
    totals.targets += static_cast<int64_t>(kind == FlowKind::kT2i ? t2i_positions(row, compat).size()
                                                                  : row.predicted.size());
  return totals;
}

std::vector<RowTargets> flow_targets(FlowKind kind, std::span<const NoisedRow> rows, const FlowTotals& step,
                                     const LossCompat& compat) {
  if (kind == FlowKind::kT2i) return t2i_targets(rows, step, compat);
  std::vector<RowTargets> targets;
  targets.reserve(rows.size());
  for (const NoisedRow& row : rows) {
    const double denominator =
        row.mask_probability * static_cast<double>(row.answer_length) * static_cast<double>(step.rows);
    targets.push_back(with_weight(row, row.predicted, 1.0 / denominator));
  }
  return targets;
}

Window flow_window(FlowKind kind, const TokenLayout& layout, const LossCompat& compat) {
  if (kind != FlowKind::kT2i || !compat.t2i_code_window) return layout.full_window();
  MMADA_CHECK(!compat.t2i_boundary_targets,
              "loss: t2i_boundary_targets (soi and eoi are no codes) contradicts t2i_code_window");
  return layout.code_window();
}

WeightedTargets join_targets(std::span<const RowTargets> rows, int64_t first_row, int64_t length,
                             Window window, const std::string& flow, double coefficient) {
  std::vector<int64_t> begins;
  for (int64_t i = 0; i < std::ssize(rows); ++i) begins.push_back((first_row + i) * length);
  return join_targets(rows, begins, window, flow, coefficient);
}

WeightedTargets join_targets(std::span<const RowTargets> rows, std::span<const int64_t> begins, Window window,
                             const std::string& flow, double coefficient) {
  std::vector<int64_t> positions, targets;
  std::vector<float> weights;
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const int64_t position : rows[i].positions) positions.push_back(begins[i] + position);
    targets.insert(targets.end(), rows[i].targets.begin(), rows[i].targets.end());
    weights.insert(weights.end(), rows[i].weights.begin(), rows[i].weights.end());
  }
  for (const int64_t target : targets)
    MMADA_CHECK(window.contains(target), "loss of ", flow, ": found target ", target,
                ", expected an id from ", window.begin, " to ", window.end - 1);
  return {.positions_N = integers(positions),
          .targets_N = integers(targets),
          .weights_N = at::tensor(weights, at::kFloat),
          .window = window,
          .flow = flow,
          .coefficient = coefficient};
}

}  // namespace mmada
