// SPDX-License-Identifier: MIT
#include "mmada/plot/axis.h"

#include <catch2/catch.hpp>
#include <cmath>

using mmada::plot::Axis;
using mmada::plot::fit_axis;
using mmada::plot::fit_step_axis;
using mmada::plot::tick_text;

namespace {

std::vector<std::string> labels(const Axis& axis) {
  std::vector<std::string> texts;
  for (const double tick : axis.ticks) texts.push_back(tick_text(axis, tick));
  return texts;
}

}  // namespace

TEST_CASE("a linear axis maps its ends to 0 and 1 and its middle to a half") {
  const Axis axis{.low = -2, .high = 6};
  CHECK(axis.position(-2) == 0.0);
  CHECK(axis.position(2) == 0.5);
  CHECK(axis.position(6) == 1.0);
}

TEST_CASE("a logarithmic axis gives every decade the same length") {
  const Axis axis{.low = 1e-2, .high = 1e2, .logarithmic = true};
  for (int decade = -2; decade <= 2; ++decade)
    CHECK(axis.position(std::pow(10.0, decade)) == Approx((decade + 2) / 4.0).margin(1e-12));
}

TEST_CASE("values lie within their axis, a twentieth from its ends") {
  const Axis axis = fit_axis(10, 30, 5);
  CHECK_FALSE(axis.logarithmic);
  CHECK(axis.low == Approx(9));
  CHECK(axis.high == Approx(31));
  const Axis decades = fit_axis(1e-3, 1e3, 5);
  CHECK(decades.logarithmic);
  CHECK(std::log10(decades.low) == Approx(-3.3));
  CHECK(std::log10(decades.high) == Approx(3.3));
}

TEST_CASE("more than three decades, all positive, make an axis logarithmic") {
  CHECK_FALSE(fit_axis(0.01, 10, 5).logarithmic);
  CHECK(fit_axis(0.01, 10.1, 5).logarithmic);
  CHECK_FALSE(fit_axis(0, 1e6, 5).logarithmic);
  CHECK_FALSE(fit_axis(-1, 1e6, 5).logarithmic);
  CHECK_FALSE(fit_step_axis(1, 1e6, 5).logarithmic);
}

TEST_CASE("ticks are round, inside the axis and labelled as one would write them") {
  CHECK(labels(fit_axis(0, 1, 5)) == std::vector<std::string>{"0", "0.5", "1"});
  CHECK(labels(fit_axis(0.02, 0.93, 6)) == std::vector<std::string>{"0", "0.2", "0.4", "0.6", "0.8"});
  CHECK(labels(fit_step_axis(0, 3400, 5)) == std::vector<std::string>{"0", "1000", "2000", "3000"});
  CHECK(labels(fit_step_axis(10, 500000, 5)) ==
        std::vector<std::string>{"100000", "200000", "300000", "400000", "500000"});
  CHECK(labels(fit_axis(-3e-5, 3e-5, 5)) == std::vector<std::string>{"-2e-05", "0", "2e-05"});
  CHECK(labels(fit_axis(1e-3, 1e3, 7)) ==
        std::vector<std::string>{"0.001", "0.01", "0.1", "1", "10", "100", "1000"});
  CHECK(labels(fit_axis(1e-12, 1, 4)) == std::vector<std::string>{"1e-12", "1e-08", "0.0001", "1"});
}

TEST_CASE("labels tell close ticks apart") {
  const Axis axis = fit_axis(1000000.001, 1000000.004, 4);
  CHECK(labels(axis) == std::vector<std::string>{"1000000.001", "1000000.002", "1000000.003", "1000000.004"});
}

TEST_CASE("values all alike stand in the middle, whatever they are") {
  for (const double value : {0.0, 5.0, -3.0, 1e-300, 1e300}) {
    const Axis axis = fit_axis(value, value, 5);
    CHECK(axis.position(value) == Approx(0.5));
    CHECK(axis.ticks.size() >= 2);
    CHECK(axis.ticks.size() <= 6);
  }
  CHECK(fit_step_axis(7, 7, 5).position(7) == 0.5);
}

TEST_CASE("there are two to six ticks where five are asked for") {
  for (double span = 1e-6; span < 1e6; span *= 1.07) {
    const Axis axis = fit_axis(-span / 3, span, 5);
    CHECK(axis.ticks.size() >= 2);
    CHECK(axis.ticks.size() <= 6);
    CHECK(axis.ticks.front() >= axis.low);
    CHECK(axis.ticks.back() <= axis.high);
  }
}
