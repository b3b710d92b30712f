// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/simt/emulator.h"
#include "normals.h"
#include "platform.h"

/// Ways to run an emulated kernel, for tests that claim something of all of them.
namespace emulation {

struct Way {
  mmada::simt::Schedule schedule;
  bool late_copies;
};

inline std::string name(Way way) {
  constexpr const char* kNames[] = {"fair", "greedy", "reverse", "shuffled"};
  std::string result = kNames[static_cast<int>(way.schedule)];
  return result.append(way.late_copies ? ", late copies" : ", eager copies");
}

/// Every schedule with both kinds of copies; two of them under ThreadSanitizer, which sees a race in any. A
/// GPU has one way.
inline std::vector<Way> all_ways() {
  using enum mmada::simt::Schedule;
  if (on_device()) return {{kGreedy, true}};
  if (mmada::simt::thread_sanitizer()) return {{kGreedy, false}, {kGreedy, true}};
  std::vector<Way> ways;
  for (const auto schedule : {kFair, kGreedy, kReverse, kShuffled})
    for (const bool late : {false, true}) ways.push_back({schedule, late});
  return ways;
}

/// Whether the long matrix was asked for (tests/run.sh --full).
inline bool full() {
  const char* asked = std::getenv("MMADA_FULL");
  return asked != nullptr && *asked == '1';
}

inline void use(Way way) {
  mmada::simt::options() = {.schedule = way.schedule, .late_copies = way.late_copies};
}

}  // namespace emulation
