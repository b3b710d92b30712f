// SPDX-License-Identifier: MIT
#include "mmada/trainer/chunk_workers.h"

#include <ATen/Parallel.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <stdexcept>

using namespace mmada;

TEST_CASE("every chunk runs once per call, each on a thread of its own with one thread inside") {
  ChunkWorkers workers(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<int> runs(3);
    std::vector<std::thread::id> threads(3);
    std::vector<int> inside(3);
    workers.run([&](int64_t chunk) {
      ++runs[chunk];
      threads[chunk] = std::this_thread::get_id();
      inside[chunk] = at::get_num_threads();
    });
    REQUIRE(runs == std::vector<int>{1, 1, 1});
    REQUIRE(std::set<std::thread::id>(threads.begin(), threads.end()).size() == 3);
    REQUIRE(inside == std::vector<int>{1, 1, 1});
  }
}

TEST_CASE("a single chunk runs in the caller with the caller's threads") {
  ChunkWorkers workers(1);
  std::thread::id seen;
  workers.run([&](int64_t) { seen = std::this_thread::get_id(); });
  CHECK(seen == std::this_thread::get_id());
}

TEST_CASE("workers leave the caller's number of threads as it is") {
  const int before = at::get_num_threads();
  ChunkWorkers workers(2);
  workers.run([](int64_t) {});
  CHECK(at::get_num_threads() == before);
}

TEST_CASE("an exception waits for the other chunks, reaches the caller, and leaves the workers usable") {
  ChunkWorkers workers(4);
  std::atomic<int> ended = 0;
  const auto work = [&](int64_t chunk) {
    if (chunk == 1 || chunk == 3) throw std::runtime_error("chunk " + std::to_string(chunk));
    ++ended;
  };
  CHECK_THROWS_WITH(workers.run(work), "chunk 1");
  CHECK(ended == 2);
  workers.run([&](int64_t) { ++ended; });
  CHECK(ended == 6);
}
