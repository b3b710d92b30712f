// SPDX-License-Identifier: MIT
#include "mmada/diffusion/schedule.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>

#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr double kFloor = 1e-6;  // the reference clips every schedule but cosine to [1e-6, 1]

double sigmoid_schedule(double r) {
  constexpr double kStart = -3.0, kEnd = 3.0, kTau = 1.0;
  const auto sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
  const double high = sigmoid(kEnd / kTau), low = sigmoid(kStart / kTau);
  return (high - sigmoid((r * (kEnd - kStart) + kStart) / kTau)) / (high - low);
}

}  // namespace

Schedule::Schedule(const std::string& name) : name_(name) {
  if (name == "cosine" || name == "linear" || name == "sigmoid") return;
  if (name.rfind("pow", 0) == 0 && name.size() > 3) {
    char* end = nullptr;
    exponent_ = std::strtod(name.c_str() + 3, &end);
    if (*end == '\0' && exponent_ > 0 && std::isfinite(exponent_)) return;
  }
  throw Error(cat("schedule: found \"", name, "\", expected cosine, linear, sigmoid or pow<K> such as pow2"));
}

double Schedule::operator()(double r) const {
  if (name_ == "cosine") return std::cos(std::numbers::pi * r / 2);
  if (name_ == "linear") return std::clamp(1.0 - r, kFloor, 1.0);
  if (name_ == "sigmoid") return std::clamp(sigmoid_schedule(r), kFloor, 1.0);
  return std::clamp(1.0 - std::pow(r, exponent_), kFloor, 1.0);
}

}  // namespace mmada
