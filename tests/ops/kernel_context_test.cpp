// SPDX-License-Identifier: MIT
#include "mmada/ops/kernel_context.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "mmada/ops/attention.h"
#include "mmada/ops/conv3x3.h"
#include "mmada/ops/group_norm_silu.h"
#include "mmada/ops/select.h"
#include "tests/support/tensors.h"

// after torch's headers, whose logging has a CHECK of its own
#include <catch2/catch.hpp>

namespace mmada {
namespace {

/// Sets ATen's number of threads for a scope.
struct Threads {
  explicit Threads(int count) : before(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before); }
  int before;
};

/// The most chunks of a kernel that were running at once; each waits a while for `expected` of them.
int64_t most_at_once(int64_t chunks, int64_t expected) {
  std::atomic<int64_t> running = 0, most = 0;
  const CpuKernelContext context;
  static_cast<const kernels::Context&>(context).for_chunks(chunks, [&](int64_t) {
    const int64_t now = ++running;
    for (int64_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) continue;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (most < expected && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    --running;
  });
  return most;
}

/// The OpenMP runtimes that are loaded into this process.
std::set<std::string> openmp_runtimes() {
  std::set<std::string> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path == line.npos) continue;
    for (const char* name : {"libgomp", "libomp", "libiomp"})
      if (line.find(name) != line.npos) found.insert(line.substr(path));
  }
  return found;
}

struct Results {
  at::Tensor normed, convolved, mixed;
  Selected selected;
};

Results results_with(int threads) {
  const Threads scope(threads);
  const at::Tensor x = random_tensor({2, 64, 40, 40}, 1).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor heads = random_tensor({2, 70, 4, 32}, 2), logits = random_tensor({50, 900}, 3);
  std::vector<int64_t> positions(50);
  for (int64_t i = 0; i < 50; ++i) positions[i] = 3 * i;
  return {group_norm_silu(x, at::ones({64}), at::zeros({64}), 32, 1e-6),
          conv3x3(x, random_tensor({64, 64, 3, 3}, 4), at::zeros({64})),
          attention(heads, heads, heads, {.mode = AttentionMode::kNone, .valid = {}}),
          select_tokens(logits, {.window = {0, 900}, .positions = positions, .temperature = 1.0})};
}

}  // namespace

TEST_CASE("a kernel's chunks run on as many threads as ATen has") {
  for (const int threads : {1, 2, 3}) {
    const Threads scope(threads);
    CHECK(most_at_once(6, threads) == threads);
  }
}

TEST_CASE("every chunk runs once, whatever the number of threads") {
  for (const int threads : {1, 3}) {
    const Threads scope(threads);
    std::vector<std::atomic<int>> runs(1000);
    const CpuKernelContext context;
    static_cast<const kernels::Context&>(context).for_chunks(1000, [&](int64_t chunk) { ++runs[chunk]; });
    CHECK(std::all_of(runs.begin(), runs.end(), [](const auto& count) { return count == 1; }));
  }
}

TEST_CASE("one OpenMP runtime serves libtorch and libmmada") { CHECK(openmp_runtimes().size() == 1); }

TEST_CASE("a GPU older than the kernels is refused by its compute capability") {
  CHECK_NOTHROW(check_compute_capability(80));
  CHECK_NOTHROW(check_compute_capability(103));
  CHECK_THROWS_WITH(check_compute_capability(75),
                    Catch::Contains("found a GPU of compute capability 7.5, expected 8.0 or newer"));
}

TEST_CASE("three threads compute the same bits as one") {
  const Results one = results_with(1), three = results_with(3);
  CHECK(one.normed.equal(three.normed));
  CHECK(one.convolved.equal(three.convolved));
  CHECK(one.mixed.equal(three.mixed));
  CHECK(one.selected.ids == three.selected.ids);
  CHECK(one.selected.confidence == three.selected.confidence);
}

}  // namespace mmada
