// SPDX-License-Identifier: MIT
#include "mmada/generation/plan.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

namespace mmada {
namespace {

ForwardRequest request(int64_t length, AttentionMode mode, Window window, std::vector<int64_t> positions,
                       bool guided = false) {
  ForwardRequest r{.ids = TokenIds(length, length),
                   .valid = {1, length},
                   .paired_ids = {},
                   .paired_valid = {},
                   .attention = mode,
                   .window = window,
                   .positions = std::move(positions)};
  if (guided) r.paired_ids = TokenIds(length, 9), r.paired_valid = {2, length};
  return r;
}

std::vector<int64_t> values(const at::Tensor& t) {
  const at::Tensor flat = t.contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

TEST_CASE("rows of different length share one hard forward, padded on the right outside their spans") {
  const std::vector<ForwardRequest> requests{request(3, AttentionMode::kHard, {0, 10}, {2}),
                                             request(5, AttentionMode::kHard, {0, 10}, {1, 4}, true)};
  const auto plans = make_plans(requests, 77);
  REQUIRE(plans.size() == 1);
  const ForwardPlan& plan = plans.front();
  CHECK(values(plan.rows.ids_BT) == std::vector<int64_t>{3, 3, 3, 77, 77, 5, 5, 5, 5, 5, 9, 9, 9, 9, 9});
  CHECK((plan.rows.valid == std::vector<Span>{{1, 3}, {1, 5}, {2, 5}}));
  CHECK(values(plan.read_N) == std::vector<int64_t>{2, 6, 9, 11, 14});
  REQUIRE(plan.heads.size() == 1);
  CHECK(plan.heads[0].read == Span{0, 5});
}

TEST_CASE("where padding would be seen, only rows of equal length share a forward") {
  for (const AttentionMode mode : {AttentionMode::kNone, AttentionMode::kAdditiveOne}) {
    const std::vector<ForwardRequest> requests{request(3, mode, {0, 10}, {2}), request(5, mode, {0, 10}, {1}),
                                               request(3, mode, {0, 10}, {0})};
    const auto plans = make_plans(requests, 77);
    REQUIRE(plans.size() == 2);
    CHECK(plans[0].rows.ids_BT.size(0) == 2);
    CHECK(plans[0].heads[0].requests == std::vector<size_t>{0, 2});
    CHECK(plans[1].rows.ids_BT.size(1) == 5);
  }
}

TEST_CASE("requests are grouped by window for the head") {
  const std::vector<ForwardRequest> requests{request(4, AttentionMode::kHard, {10, 20}, {0}),
                                             request(4, AttentionMode::kHard, {0, 10}, {1, 2}),
                                             request(4, AttentionMode::kHard, {10, 20}, {3})};
  const auto heads = make_plans(requests, 0)[0].heads;
  REQUIRE(heads.size() == 2);
  CHECK(heads[0].window == Window{0, 10});
  CHECK(heads[0].requests == std::vector<size_t>{1});
  CHECK(heads[1].requests == std::vector<size_t>{0, 2});
  CHECK(heads[1].read == Span{2, 4});
  CHECK(make_plans({}, 0).empty());
}

}  // namespace
}  // namespace mmada
