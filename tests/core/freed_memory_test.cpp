// SPDX-License-Identifier: MIT
#include "mmada/core/freed_memory.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <memory>
#include <vector>

using namespace mmada;

namespace {

#ifdef __SANITIZE_ADDRESS__  // which has a heap of its own
constexpr bool kHeapOfLibc = false;
#else
constexpr bool kHeapOfLibc = true;
#endif

int64_t resident_bytes() {
  int64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

}  // namespace

TEST_CASE("memory of small blocks that were freed is given back, though others lie behind it") {
  constexpr int64_t kCount = 100'000, kBytes = 1024;
  std::vector<std::unique_ptr<char[]>> blocks(kCount);
  for (auto& block : blocks) {
    block = std::make_unique<char[]>(kBytes);
    std::fill_n(block.get(), kBytes, 'x');
  }
  std::for_each(blocks.begin(), blocks.end() - 1, [](auto& block) { block.reset(); });
  const int64_t before = resident_bytes();
  give_back_freed_memory();
  CHECK((!kHeapOfLibc || before - resident_bytes() > kCount * kBytes * 9 / 10));
  CHECK(blocks.back()[kBytes - 1] == 'x');
}
