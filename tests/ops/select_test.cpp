// SPDX-License-Identifier: MIT
#include "mmada/ops/select.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "mmada/core/check.h"
#include "mmada/core/rng.h"

namespace mmada {
namespace {

std::vector<int64_t> positions_from(int64_t first, int64_t count) {
  std::vector<int64_t> positions(count);
  std::iota(positions.begin(), positions.end(), first);
  return positions;
}

at::Tensor random_logits(int64_t rows, int64_t columns, uint64_t seed) {
  at::Tensor logits = at::empty({rows, columns}, at::kFloat);
  Rng rng(seed, "logits");
  float* data = logits.mutable_data_ptr<float>();
  for (int64_t i = 0; i < logits.numel(); ++i) data[i] = static_cast<float>(3.0 * rng.normal());
  return logits;
}

/// Softmax in plain fp64 loops.
std::vector<double> softmax(const float* row, int64_t columns) {
  double largest = row[0], sum = 0;
  for (int64_t i = 0; i < columns; ++i) largest = std::max<double>(largest, row[i]);
  std::vector<double> p(columns);
  for (int64_t i = 0; i < columns; ++i) sum += p[i] = std::exp(row[i] - largest);
  for (double& value : p) value /= sum;
  return p;
}

TEST_CASE("without noise the choice is the argmax and every confidence equals plain fp64 loops") {
  for (const int64_t columns : {1, 2, 33, 97, 1025}) {
    const at::Tensor logits = random_logits(7, columns, 11);
    const auto positions = positions_from(5, 7);
    for (const auto measure : {Confidence::kProbability, Confidence::kMargin, Confidence::kNegEntropy}) {
      const Selected selected = select_tokens(
          logits, {.window = {100, 100 + columns}, .positions = positions, .confidence = measure});
      for (int64_t i = 0; i < 7; ++i) {
        const float* row = logits.const_data_ptr<float>() + i * columns;
        std::vector<double> p = softmax(row, columns);
        const auto best = std::max_element(p.begin(), p.end()) - p.begin();
        CHECK(selected.ids[i] == 100 + best);
        double expected = p[best];
        if (measure == Confidence::kNegEntropy) {
          expected = 0;
          for (const double value : p) expected += value > 0 ? value * std::log(value) : 0;
        }
        if (measure == Confidence::kMargin) {
          const double first = p[best];
          p[best] = 0;
          expected = first - *std::max_element(p.begin(), p.end());
        }
        CHECK(selected.confidence[i] == Approx(expected).margin(1e-12));
      }
    }
  }
}

TEST_CASE("equal logits go to the lowest id") {
  const auto positions = positions_from(0, 1);
  const Selected selected = select_tokens(at::tensor({1.f, 4.f, 4.f, 2.f}).view({1, 4}),
                                          {.window = {10, 14}, .positions = positions});
  CHECK(selected.ids[0] == 11);
}

TEST_CASE("banned ids are neither chosen nor counted in the softmax") {
  const auto positions = positions_from(0, 1);
  const std::vector<int64_t> banned{11, 999};
  const Selected selected = select_tokens(at::tensor({1.f, 9.f, 3.f}).view({1, 3}),
                                          {.window = {10, 13}, .positions = positions, .banned = banned});
  CHECK(selected.ids[0] == 12);
  CHECK(selected.confidence[0] == Approx(1.0 / (1.0 + std::exp(-2.0))));
}

TEST_CASE("an id that is never confident can be chosen, with confidence -inf") {
  const auto positions = positions_from(0, 2);
  const std::vector<int64_t> eos{11};
  const at::Tensor logits = at::tensor({1.f, 9.f, 3.f, 1.f, 2.f, 3.f}).view({2, 3});
  const Selected selected =
      select_tokens(logits, {.window = {10, 13}, .positions = positions, .never_confident = eos});
  CHECK(selected.ids == std::vector<int64_t>{11, 12});
  CHECK(selected.confidence[0] == -std::numeric_limits<double>::infinity());
  CHECK(selected.confidence[1] == Approx(1.0 / (1.0 + std::exp(-2.0))));  // without the eos column
}

TEST_CASE("noisy choices follow the softmax at the temperature") {
  const int64_t draws = 20000;
  const at::Tensor row = at::tensor({0.0f, 1.0f, -1.0f, 2.0f, 0.5f});
  const auto positions = positions_from(0, draws);
  for (const double temperature : {0.5, 1.0, 2.0}) {
    const Selected selected = select_tokens(
        row.expand({draws, 5}),
        {.window = {3, 8}, .positions = positions, .temperature = temperature, .noise = {.seed = 5}});
    const at::Tensor scaled = row / temperature;
    const auto p = softmax(scaled.const_data_ptr<float>(), 5);
    for (int64_t id = 0; id < 5; ++id) {
      const auto count = std::count(selected.ids.begin(), selected.ids.end(), id + 3);
      const double sigma = std::sqrt(p[id] * (1 - p[id]) * draws);
      CHECK(std::abs(count - p[id] * draws) < 4.5 * sigma);
    }
  }
}

TEST_CASE("skipping hopeless columns draws the same tokens as scoring all of them") {
  const int64_t rows = 50, columns = 400;
  const at::Tensor logits = random_logits(rows, columns, 3);
  const auto positions = positions_from(2, rows);
  const NoiseSource noise{.seed = 9, .stream = 4, .step = 2};
  const Window window{17, 17 + columns};
  const Selected selected =
      select_tokens(logits, {.window = window, .positions = positions, .temperature = 0.3, .noise = noise});
  // one column at a time: with a single candidate its score is not seen, so compare pairs against the winner
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t column = 0; column < columns; ++column) {
      const int64_t winner = selected.ids[i] - window.begin;
      if (column == winner) continue;
      const std::vector<int64_t> one{positions[i]};
      at::Tensor pair = at::full({1, columns}, -1e30f);
      pair[0][winner] = logits[i][winner];
      pair[0][column] = logits[i][column];
      if (column % 37 != 0) continue;
      const Selected duel =
          select_tokens(pair, {.window = window, .positions = one, .temperature = 0.3, .noise = noise});
      CHECK(duel.ids[0] == selected.ids[i]);
    }
  }
}

TEST_CASE("noise depends on seed, stream, step and position, not on the row's place or the window's start") {
  const at::Tensor logits = at::zeros({4, 64});
  const auto positions = positions_from(20, 4);
  const SelectParams params{.window = {8, 72},
                            .positions = positions,
                            .temperature = 1.0,
                            .noise = {.seed = 1, .stream = 2, .step = 3}};
  const Selected all = select_tokens(logits, params);
  SelectParams last = params;
  last.positions = std::span(positions).subspan(3);
  CHECK(select_tokens(logits.narrow(0, 3, 1), last).ids[0] == all.ids[3]);
  // a wider window whose extra columns cannot win
  at::Tensor wide = at::full({4, 72}, -1e30f);
  wide.narrow(1, 8, 64).zero_();
  SelectParams whole = params;
  whole.window = {0, 72};
  CHECK(select_tokens(wide, whole).ids == all.ids);
  for (const NoiseSource& other : {NoiseSource{2, 2, 3}, NoiseSource{1, 3, 3}, NoiseSource{1, 2, 4}}) {
    SelectParams changed = params;
    changed.noise = other;
    CHECK(select_tokens(logits, changed).ids != all.ids);
  }
}

TEST_CASE("top-k and top-p restrict the choice and leave the confidence alone") {
  const int64_t draws = 500;
  const at::Tensor logits = at::tensor({0.f, 2.f, 1.9f, -3.f}).expand({draws, 4});
  const auto positions = positions_from(0, draws);
  SelectParams params{.window = {0, 4}, .positions = positions, .temperature = 5.0, .noise = {.seed = 3}};
  params.top_k = 2;
  const Selected two = select_tokens(logits, params);
  CHECK(std::all_of(two.ids.begin(), two.ids.end(), [](int64_t id) { return id == 1 || id == 2; }));
  CHECK(std::count(two.ids.begin(), two.ids.end(), 2) > 0);
  const at::Tensor row = logits[0].contiguous();
  const auto p = softmax(row.const_data_ptr<float>(), 4);
  CHECK(two.confidence[0] == Approx(p[two.ids[0]]));
  params.top_k = 0;
  params.temperature = 1.0;
  params.top_p = 0.4;  // the best token alone has 0.48
  const Selected nucleus = select_tokens(logits, params);
  CHECK(std::all_of(nucleus.ids.begin(), nucleus.ids.end(), [](int64_t id) { return id == 1; }));
}

TEST_CASE("logits without a finite entry and NaN are refused") {
  const auto positions = positions_from(0, 1);
  const float infinity = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(select_tokens(at::full({1, 3}, -infinity), {.window = {0, 3}, .positions = positions}),
                  Error);
  CHECK_THROWS_AS(
      select_tokens(at::tensor({1.f, nan}).view({1, 2}), {.window = {0, 2}, .positions = positions}), Error);
  CHECK_THROWS_AS(select_tokens(at::zeros({1, 4}), {.window = {0, 3}, .positions = positions}), Error);
}

}  // namespace
}  // namespace mmada
