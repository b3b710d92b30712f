// SPDX-License-Identifier: MIT
#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "mmada/distributed/group.h"
#include "mmada/distributed/launch.h"

/// Claims that hold in every one of several processes: a hidden test case, run by this executable once per
/// rank.
namespace mmada::test {

/// Status of `processes` runs of the test case with this tag.
inline int run_ranks(const std::string& tag, int processes,
                     std::vector<std::pair<std::string, std::string>> environment = {}) {
  environment.push_back({"OMP_NUM_THREADS", "1"});
  return launch({.command = {"/proc/self/exe", tag},
                 .processes = processes,
                 .port = 0,
                 .environment = std::move(environment)});
}

inline Group connect(std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
  return Group::connect(process_environment(), {.timeout = timeout});
}

}  // namespace mmada::test
