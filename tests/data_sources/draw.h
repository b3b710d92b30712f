// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <set>
#include <string>

#include "mmada/data/sample.h"

namespace mmada::test {

/// Texts by the value of the picture's first byte, over `count` samples.
using Seen = std::map<int, std::set<std::string>>;
inline Seen seen(SampleSource& source, int count) {
  Seen list;
  for (int i = 0; i < count; ++i) {
    const Sample sample = source.next();
    list[sample.image.pixels.at(0)].insert(sample.text);
  }
  return list;
}

}  // namespace mmada::test
