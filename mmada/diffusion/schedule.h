// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace mmada {

/// The mask schedules of SPEC 5.2: the share of slots still masked at time r in [0, 1], used in training and
/// sampling. Names: "cosine", "linear", "pow<K>" (e.g. "pow2"), "sigmoid" (start -3, end 3, tau 1).
class Schedule {
 public:
  explicit Schedule(const std::string& name = "cosine");
  double operator()(double r) const;
  const std::string& name() const { return name_; }
  bool operator==(const Schedule&) const = default;

 private:
  std::string name_;
  double exponent_ = 0.0;
};

}  // namespace mmada
