// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "kernels/simt/emulator.h"

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

/// Every schedule with both kinds of copies; two of them under ThreadSanitizer, which sees a race in any.
inline std::vector<Way> all_ways() {
  using enum mmada::simt::Schedule;
  if (mmada::simt::thread_sanitizer()) return {{kGreedy, false}, {kGreedy, true}};
  std::vector<Way> ways;
  for (const auto schedule : {kFair, kGreedy, kReverse, kShuffled})
    for (const bool late : {false, true}) ways.push_back({schedule, late});
  return ways;
}

inline void use(Way way) {
  mmada::simt::options() = {.schedule = way.schedule, .late_copies = way.late_copies};
}

/// Standard normal numbers, the same for a seed everywhere.
inline std::vector<float> normals(size_t count, uint32_t seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  std::vector<float> values(count);
  // the sum of twelve uniforms: the library's normal distribution differs between implementations
  for (float& value : values) {
    double sum = -6.0;
    for (int i = 0; i < 12; ++i) sum += generator() / 4294967296.0;
    value = static_cast<float>(sum) * scale;
  }
  return values;
}

}  // namespace emulation
