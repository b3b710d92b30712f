// SPDX-License-Identifier: MIT
// libtorch holds Gloo but ships none of its headers. These declarations, written from the names that c10d's
// own headers use, are all that including ProcessGroupGloo.hpp takes; no class of Gloo is defined, built or
// called here.
#pragma once
#include <chrono>
namespace gloo {
struct Context {
  void setTimeout(std::chrono::milliseconds);
};
}  // namespace gloo
