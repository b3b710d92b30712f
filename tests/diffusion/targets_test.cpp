// SPDX-License-Identifier: MIT
// The weights of SPEC 6.1, computed by hand.
#include "mmada/diffusion/targets.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "mmada/core/check.h"
#include "tests/diffusion/small_layout.h"

namespace {

using namespace mmada;
using namespace mmada::test;

std::vector<RowTargets> whole_step(FlowKind kind, const std::vector<NoisedRow>& rows,
                                   const LossCompat& compat = {}) {
  return flow_targets(kind, rows, flow_totals(kind, rows, compat), compat);
}

NoisedRow image_row(std::vector<int64_t> slots) {
  Row row = t2i_row(small_layout(), {10}, {64, 65, 66, 67}, 4);
  NoisedRow noised{.ids = row.ids, .clean = row.ids, .valid = row.valid, .image = row.image};
  for (const int64_t slot : slots) noised.predicted.push_back(row.image.begin + slot);
  noised.mask_probability = static_cast<double>(slots.size()) / 4;
  noised.answer_length = 4;
  return noised;
}

NoisedRow text_row(std::vector<int64_t> predicted, double p, int64_t answer_length) {
  return {.ids = {},
          .clean = {20, 21, 22, 23, 24, 25},
          .predicted = std::move(predicted),
          .mask_probability = p,
          .answer_length = answer_length,
          .valid = {0, 6},
          .image = {}};
}

}  // namespace

TEST_CASE("the t2i loss is the plain mean over masked image tokens of the step") {
  const std::vector<NoisedRow> rows = {image_row({0, 2, 3}), image_row({1})};
  const auto targets = whole_step(FlowKind::kT2i, rows);
  CHECK(targets[0].positions == std::vector<int64_t>{6, 8, 9});
  CHECK(targets[0].targets == std::vector<int64_t>{64, 66, 67});
  CHECK(targets[0].weights == std::vector<float>(3, 0.25f));
  CHECK(targets[1].weights == std::vector<float>(1, 0.25f));
}

TEST_CASE("the reference's t2i loss also counts the visible soi and eoi") {
  const std::vector<NoisedRow> rows = {image_row({0, 2, 3}), image_row({1})};
  const auto targets = whole_step(FlowKind::kT2i, rows, LossCompat::reference());
  CHECK(targets[1].positions == std::vector<int64_t>{5, 7, 10});
  CHECK(targets[1].targets == std::vector<int64_t>{kSoi, 65, kEoi});
  CHECK(targets[1].weights == std::vector<float>(3, 0.125f));
}

TEST_CASE("inverse-time weights make every t2i row count the same") {
  const std::vector<NoisedRow> rows = {image_row({0, 2, 3, 1}), image_row({1})};
  const auto targets = whole_step(FlowKind::kT2i, rows, {.t2i_inverse_time = true});
  CHECK(targets[0].weights == std::vector<float>(4, 0.125f));
  CHECK(targets[1].weights == std::vector<float>(1, 0.5f));
}

TEST_CASE("rows that are weighed apart have the weights of the whole step") {
  const std::vector<NoisedRow> rows = {image_row({0, 2, 3}), image_row({1})};
  for (const LossCompat& compat : {LossCompat{}, LossCompat{.t2i_inverse_time = true}}) {
    const FlowTotals first = flow_totals(FlowKind::kT2i, {rows.data(), 1}, compat),
                     second = flow_totals(FlowKind::kT2i, {rows.data() + 1, 1}, compat);
    const FlowTotals step{first.rows + second.rows, first.targets + second.targets};
    const auto apart = flow_targets(FlowKind::kT2i, {rows.data() + 1, 1}, step, compat);
    CHECK(apart[0].weights == whole_step(FlowKind::kT2i, rows, compat)[1].weights);
  }
}

TEST_CASE("text losses divide by probability, answer length and rows") {
  const std::vector<NoisedRow> rows = {text_row({1, 4}, 0.5, 4), text_row({5}, 0.25, 2),
                                       text_row({}, 0.1, 6)};
  for (const FlowKind kind : {FlowKind::kLm, FlowKind::kLmChat, FlowKind::kMmu, FlowKind::kR2i}) {
    const auto targets = whole_step(kind, rows);
    CHECK(targets[0].weights == std::vector<float>(2, static_cast<float>(1.0 / (0.5 * 4 * 3))));
    CHECK(targets[1].weights == std::vector<float>(1, static_cast<float>(1.0 / (0.25 * 2 * 3))));
    CHECK(targets[2].weights.empty());
  }
  CHECK(whole_step(FlowKind::kMmu, {}).empty());
  CHECK(whole_step(FlowKind::kT2i, {}).empty());
}

TEST_CASE("image losses run over the codes, all others and the reference over the vocabulary") {
  const TokenLayout layout = small_layout();
  CHECK(flow_window(FlowKind::kT2i, layout) == Window{64, 80});
  CHECK(flow_window(FlowKind::kT2i, layout, LossCompat::reference()) == Window{0, 80});
  CHECK(flow_window(FlowKind::kR2i, layout) == Window{0, 80});
  CHECK_THROWS_AS(flow_window(FlowKind::kT2i, layout, {.t2i_boundary_targets = true}), Error);
}

TEST_CASE("joined targets stand at their rows' places in the batch") {
  const std::vector<NoisedRow> rows = {text_row({1, 4}, 0.5, 4), text_row({5}, 0.25, 2)};
  const auto targets = whole_step(FlowKind::kLm, rows);
  const WeightedTargets joined = join_targets(targets, 3, 6, {0, 80}, "lm", 0.5);
  CHECK(at::equal(joined.positions_N, at::tensor({19, 22, 29}, at::kLong)));
  CHECK(at::equal(joined.targets_N, at::tensor({21, 24, 25}, at::kLong)));
  CHECK(joined.weights_N.scalar_type() == at::kFloat);
  CHECK(joined.coefficient == 0.5);
  CHECK_THROWS_WITH(join_targets(targets, 0, 6, {0, 25}, "lm"), Catch::Contains("found target 25"));
  CHECK(join_targets({}, 0, 6, {0, 80}, "lm").positions_N.size(0) == 0);
}
