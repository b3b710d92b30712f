// SPDX-License-Identifier: MIT
#include "mmada/ops/head_select.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>
#include <limits>
#include <numeric>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"
#include "mmada/ops/linear.h"

namespace mmada {
namespace {

at::Tensor normals(std::vector<int64_t> shape, uint64_t seed, double scale = 1.0) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  Rng rng(seed, "head_select");
  float* data = tensor.mutable_data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) data[i] = static_cast<float>(scale * rng.normal());
  return tensor;
}

std::vector<int64_t> positions_from(int64_t first, int64_t count) {
  std::vector<int64_t> positions(count);
  std::iota(positions.begin(), positions.end(), first);
  return positions;
}

/// A head of 5000 ids, three chunks of it, that stands for ids from 300 on.
constexpr Window kWindow{300, 5300};
const at::Tensor& head() {
  static const at::Tensor weight = normals({kWindow.size(), 24}, 1, 0.8);
  return weight;
}

/// From logits, by the op that sees whole rows in fp64.
Selected from_logits(const at::Tensor& hidden_ND, const HeadRows& rows) {
  at::Tensor logits = at::mm(hidden_ND, head().t());
  const auto count = static_cast<int64_t>(rows.params.positions.size());
  if (rows.guidance)
    logits = mix_logits(*rows.guidance, logits.narrow(0, 0, count), logits.narrow(0, count, count));
  return select_tokens(logits, rows.params);
}

void check_equal(const Selected& got, const Selected& expected) {
  CHECK(got.ids == expected.ids);
  for (size_t i = 0; i < got.confidence.size(); ++i)
    CHECK(got.confidence[i] == Approx(expected.confidence[i]).epsilon(1e-4).margin(1e-6));
}

const std::vector<int64_t> kPositions = positions_from(11, 6), kBanned = {300, 2347, 2348, 5299, 9999};

HeadRows rows(Confidence confidence = Confidence::kProbability, double temperature = 0.0) {
  return {.params = {.window = kWindow,
                     .positions = kPositions,
                     .banned = kBanned,
                     .confidence = confidence,
                     .temperature = temperature,
                     .noise = {.seed = 4, .stream = 2, .step = 7}},
          .guidance = {}};
}

TEST_CASE(
    "what is chosen from the head is what whole rows of logits give, for every confidence and temperature") {
  const at::Tensor hidden = normals({6, 24}, 2);
  for (const auto confidence :
       {Confidence::kProbability, Confidence::kMargin, Confidence::kNegEntropy, Confidence::kRandom})
    for (const double temperature : {0.0, 0.4, 2.0}) {
      const HeadRows group = rows(confidence, temperature);
      check_equal(select_from_head(hidden, head(), {&group, 1})[0], from_logits(hidden, group));
    }
}

TEST_CASE("guided rows mix with their twins, in both forms") {
  const at::Tensor hidden = normals({12, 24}, 3);
  for (const bool difference_form : {true, false}) {
    HeadRows group = rows(Confidence::kMargin, 0.5);
    group.guidance = GuidanceMix{.scale = 1.5, .difference_form = difference_form};
    check_equal(select_from_head(hidden, head(), {&group, 1})[0], from_logits(hidden, group));
  }
}

TEST_CASE("top-k and top-p leave the choice that whole rows of logits leave, and the confidence alone") {
  const at::Tensor hidden = normals({12, 24}, 4);
  for (const auto& [top_k, top_p] : {std::pair<int64_t, double>{3, 1.0}, {0, 0.3}, {7, 0.6}, {0, 1e-9}})
    for (const double temperature : {0.7, 3.0}) {
      HeadRows group = rows(Confidence::kProbability, temperature);
      group.guidance = GuidanceMix{.scale = 0.5};
      group.params.top_k = top_k, group.params.top_p = top_p;
      check_equal(select_from_head(hidden, head(), {&group, 1})[0], from_logits(hidden, group));
    }
}

TEST_CASE("groups of a pass give what each gives alone, whatever the others ask for") {
  std::vector<HeadRows> groups(5, rows());
  groups[1].guidance = GuidanceMix{.scale = 2.0};
  groups[2].params.top_k = 3, groups[2].params.temperature = 1.0;
  groups[3].params.never_confident = kBanned;
  groups[4] = rows(Confidence::kNegEntropy, 0.7);
  int64_t total = 0;
  for (const HeadRows& group : groups) total += group.hidden_rows();
  const at::Tensor hidden = normals({total, 24}, 5);
  const std::vector<Selected> together = select_from_head(hidden, head(), groups);
  int64_t begin = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    const at::Tensor own = hidden.narrow(0, begin, groups[i].hidden_rows());
    const Selected alone = select_from_head(own, head(), {&groups[i], 1})[0];
    CHECK(together[i].ids == alone.ids);
    check_equal(together[i], from_logits(own, groups[i]));
    begin += groups[i].hidden_rows();
  }
}

TEST_CASE("in double precision the confidence is the fp64 softmax to the last bit") {
  const at::Tensor hidden = normals({6, 24}, 6);
  HeadRows group = rows();
  group.params.double_precision = true;
  CHECK(select_from_head(hidden, head(), {&group, 1})[0].confidence ==
        select_tokens(product_transposed(hidden, head()), group.params).confidence);
}

TEST_CASE("bf16 rows are chosen from bf16 logits, in the weights' dtype from the bf16 softmax of them") {
  const at::Tensor hidden = normals({6, 24}, 7).to(at::kBFloat16), weight = head().to(at::kBFloat16);
  const at::Tensor logits = at::mm(hidden, weight.t());
  HeadRows group = rows();
  check_equal(select_from_head(hidden, weight, {&group, 1})[0], select_tokens(logits, group.params));
  group.in_weight_dtype = true;
  SelectParams params = group.params;
  params.log_probabilities = true;
  check_equal(select_from_head(hidden, weight, {&group, 1})[0],
              select_tokens(at::softmax(logits, -1).to(at::kFloat).log(), params));
}

TEST_CASE("the number of threads changes nothing") {
  const at::Tensor hidden = normals({6, 24}, 8);
  const HeadRows group = rows(Confidence::kNegEntropy, 1.0);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Selected one = select_from_head(hidden, head(), {&group, 1})[0];
  at::set_num_threads(3);
  const Selected three = select_from_head(hidden, head(), {&group, 1})[0];
  at::set_num_threads(threads);
  CHECK(one.ids == three.ids);
  CHECK(one.confidence == three.confidence);
}

TEST_CASE("a row without a finite logit and shapes that contradict each other are errors that say so") {
  at::Tensor hidden = normals({6, 24}, 9);
  const HeadRows group = rows();
  hidden[2][0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(select_from_head(hidden, head(), {&group, 1}), Catch::Contains("row 2 (position 13)"));
  CHECK_THROWS_WITH(select_from_head(hidden.narrow(0, 0, 5), head(), {&group, 1}),
                    Catch::Contains("expected [6, D]"));
  CHECK_THROWS_WITH(select_from_head(hidden, head().narrow(0, 0, 7), {&group, 1}),
                    Catch::Contains("5000 ids"));
  CHECK(select_from_head(hidden.narrow(0, 0, 0), head(), {}).empty());
}

}  // namespace
}  // namespace mmada
