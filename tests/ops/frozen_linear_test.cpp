// SPDX-License-Identifier: MIT
#include "mmada/ops/frozen_linear.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

namespace mmada {
namespace {

/// A weight of normal numbers whose rows differ in size.
at::Tensor some_weight(int64_t rows, int64_t columns) {
  at::manual_seed(11);
  return at::randn({rows, columns}) * at::arange(1, rows + 1).unsqueeze(1);
}

FrozenWeight frozen(const at::Tensor& weight, WeightFormat format) {
  const int64_t rows = weight.size(0), columns = weight.size(1);
  FrozenWeight held{.format = format, .values = {}, .scales = {}};
  if (format == WeightFormat::kFull) {
    held.values = at::empty_like(weight);
  } else if (format == WeightFormat::kInt8) {
    held.values = at::empty({rows, columns}, at::kChar), held.scales = at::empty({rows});
  } else {
    held.values = at::empty({rows, columns / 2}, at::kByte),
    held.scales = at::empty({rows, (columns + 63) / 64});
  }
  quantise(weight, held);
  return held;
}

/// The sixteen levels as the paper defines them, from quantiles of the normal distribution: half a level less
/// of the negative ones, so that 0 is one of them.
std::vector<double> nf4_levels() {
  const double offset = 0.9677083;
  const auto quantile = [](double p) {
    return at::special_ndtri(at::scalar_tensor(p, at::kDouble)).item<double>();
  };
  std::vector<double> levels;
  for (int i = 0; i < 7; ++i) levels.push_back(-quantile(offset + (0.5 - offset) * i / 7));
  levels.push_back(0);
  for (int i = 7; i >= 0; --i) levels.push_back(quantile(offset + (0.5 - offset) * i / 8));
  for (double& level : levels) level /= quantile(offset);
  return levels;
}

TEST_CASE("nf4: a block of the sixteen published levels is held exactly, each in its own four bits") {
  const std::vector<double> levels = nf4_levels();
  at::Tensor weight = at::zeros({1, 16});
  for (int64_t i = 0; i < 16; ++i) weight[0][i] = levels[static_cast<size_t>(i)] * 3;
  const FrozenWeight held = frozen(weight, WeightFormat::kNf4);
  CHECK(held.scales.item<float>() == 3.0F);
  for (int64_t i = 0; i < 8; ++i)  // two neighbours share a byte, the first in its high bits
    CHECK(held.values[0][i].item<int64_t>() == 16 * (2 * i) + 2 * i + 1);
  // the published levels are those of fp32
  CHECK((dequantise(held, at::kFloat) - weight).abs().max().item<double>() < 3 * 2e-7);
}

TEST_CASE("nf4: every weight becomes the nearest level of its block of 64 columns, the last block shorter") {
  const at::Tensor weight = some_weight(3, 150);
  const FrozenWeight held = frozen(weight, WeightFormat::kNf4);
  const at::Tensor found = dequantise(held, at::kFloat);
  const std::vector<double> levels = nf4_levels();
  for (int64_t row = 0; row < 3; ++row)
    for (int64_t column = 0; column < 150; ++column) {
      const int64_t begin = column / 64 * 64, end = std::min<int64_t>(begin + 64, 150);
      double largest = 0;
      for (int64_t i = begin; i < end; ++i)
        largest = std::max(largest, std::abs(weight[row][i].item<double>()));
      const double value = weight[row][column].item<double>() / largest;
      double nearest = levels[0];
      for (const double level : levels)
        if (std::abs(level - value) < std::abs(nearest - value)) nearest = level;
      INFO(row << ", " << column);
      REQUIRE(found[row][column].item<double>() == Approx(nearest * largest).epsilon(1e-6));
    }
}

TEST_CASE("int8: every weight is within half a step of its row's scale, whose ends are taken") {
  const at::Tensor weight = some_weight(5, 90);
  const FrozenWeight held = frozen(weight, WeightFormat::kInt8);
  const at::Tensor found = dequantise(held, at::kFloat);
  for (int64_t row = 0; row < 5; ++row) {
    double largest = 0;
    for (int64_t i = 0; i < 90; ++i) largest = std::max(largest, std::abs(weight[row][i].item<double>()));
    const double step = largest / 127;
    for (int64_t i = 0; i < 90; ++i) {
      const double value = weight[row][i].item<double>();
      REQUIRE(std::abs(found[row][i].item<double>() - value) <= step * 0.50001);
      REQUIRE(std::abs(held.values[row][i].item<double>()) <= 127);
    }
    CHECK(held.values[row].abs().max().item<int64_t>() == 127);
  }
}

TEST_CASE("zeros stay zeros, and nothing becomes NaN") {
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kNf4}) {
    const at::Tensor zeros = at::zeros({2, 128});
    CHECK(at::equal(dequantise(frozen(zeros, format), at::kFloat), zeros));
  }
}

TEST_CASE("a frozen product and its gradient are those of the dequantised weight") {
  for (const WeightFormat format : {WeightFormat::kFull, WeightFormat::kInt8, WeightFormat::kNf4}) {
    const FrozenWeight held = frozen(some_weight(6, 70), format);
    const at::Tensor weight = dequantise(held, at::kDouble);
    const at::Tensor x = at::randn({2, 3, 70}, at::kDouble).requires_grad_(true),
                     dy = at::randn({2, 3, 6}, at::kDouble);
    const FrozenWeight wide{format, format == WeightFormat::kFull ? weight : held.values, held.scales};
    const at::Tensor y = project_frozen(x, wide);
    CHECK(at::allclose(y, at::einsum("btk,ok->bto", {x, weight}), 1e-12, 1e-12));
    y.backward(dy);
    CHECK(at::allclose(x.grad(), at::einsum("bto,ok->btk", {dy, weight}), 1e-12, 1e-12));
  }
}

TEST_CASE("a product of another width, and nf4 of an odd number of columns, are refused") {
  const FrozenWeight held = frozen(some_weight(4, 64), WeightFormat::kNf4);
  CHECK_THROWS_WITH(project_frozen(at::zeros({2, 32}), held), Catch::Contains("expected [..., 64]"));
  CHECK_THROWS_WITH(frozen(some_weight(4, 63), WeightFormat::kNf4), Catch::Contains("found 63 columns"));
}

}  // namespace
}  // namespace mmada
