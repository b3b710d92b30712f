// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

/// VmRSS of this process, or VmHWM, the highest so far.
inline int64_t memory_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == field + ":") return status >> word, std::stoll(word) * 1024;
  return 0;
}
