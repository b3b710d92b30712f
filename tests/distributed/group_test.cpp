// SPDX-License-Identifier: MIT
#include "mmada/distributed/group.h"

#include <ATen/ATen.h>

#include <unistd.h>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "tests/distributed/ranks.h"

namespace mmada {
namespace {

using Clock = std::chrono::steady_clock;

TEST_CASE("collectives in every rank", "[.collectives]") {
  const Group group = test::connect();
  const int64_t size = group.size(), rank = group.rank();
  for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const at::TensorOptions options(type);
    at::Tensor gathered = at::empty({3 * size}, options);
    group.all_gather(gathered, at::full({3}, static_cast<double>(rank + 1), options)).wait();
    at::Tensor part = at::empty({3}, options);
    group.reduce_scatter(part, gathered).wait();  // every rank gave the same
    for (int64_t i = 0; i < 3 * size; ++i)
      CHECK(gathered[i].item<double>() == static_cast<double>(i / 3 + 1));
    CHECK(part[0].item<double>() == static_cast<double>(size * (rank + 1)));
    at::Tensor sum = at::full({2}, static_cast<double>(rank), options);
    group.all_reduce(sum);
    CHECK(sum[1].item<double>() == static_cast<double>(size * (size - 1) / 2));
    at::Tensor copy = at::full({2}, static_cast<double>(rank + 5), options);
    group.broadcast(copy);
    CHECK(copy[0].item<double>() == 5.0);
  }
  group.barrier();
}

TEST_CASE("gathering, reducing, summing and broadcasting among one to four processes") {
  for (const int processes : {1, 2, 3, 4}) CHECK(test::run_ranks("[.collectives]", processes) == 0);
}

TEST_CASE("a process alone has collectives too, and sizes are checked") {
  const Group group;
  const at::Tensor in = at::arange(4, at::kFloat);
  at::Tensor out = at::empty({4});
  group.all_gather(out, in).wait();
  CHECK(at::equal(out, in));
  group.all_reduce(out);
  CHECK(at::equal(out, in));
  CHECK_THROWS_WITH(group.all_gather(at::empty({5}), in),
                    Catch::Contains("found 5 elements, expected 1 times the 4"));
}

TEST_CASE("a rank that calls something else", "[.mismatch]") {
  const Group group = test::connect();
  const at::Tensor in = at::ones({4});
  at::Tensor gathered = at::empty({8}), part = at::empty({2});
  const auto call = [&] {
    group.rank() == 0 ? group.all_gather(gathered, in).wait() : group.reduce_scatter(part, in).wait();
  };
  CHECK_THROWS_WITH(call(), Catch::Contains("rank " + std::to_string(group.rank()) + " of 2") &&
                                Catch::Contains("mismatch between collectives"));
}

TEST_CASE("with TORCH_DISTRIBUTED_DEBUG=DETAIL a mismatch is reported by every rank") {
  CHECK(test::run_ranks("[.mismatch]", 2, {{"TORCH_DISTRIBUTED_DEBUG", "DETAIL"}}) == 0);
}

TEST_CASE("a rank that does not come", "[.hung]") {
  const Group group = test::connect(std::chrono::seconds(1));
  if (group.rank() == 1) std::this_thread::sleep_for(std::chrono::seconds(3));
  if (group.rank() == 0) CHECK_THROWS_WITH(group.barrier(), Catch::Contains("rank 0 of 2: barrier"));
}

TEST_CASE("a rank that hangs is noticed after the timeout") {
  const auto begin = Clock::now();
  CHECK(test::run_ranks("[.hung]", 2) == 0);
  CHECK(Clock::now() - begin < std::chrono::seconds(20));
}

TEST_CASE("a rank that does not come once the timeout is shorter", "[.late]") {
  const Group group = test::connect();
  const at::Tensor in = at::ones({4}), gathered = at::empty({8}), part = at::empty({2});
  group.set_timeout(std::chrono::milliseconds(100));
  group.set_timeout();
  if (group.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(500));
  group.barrier();  // of which the first one's time was enough
  group.set_timeout(std::chrono::milliseconds(300));
  if (group.rank() == 1) return std::this_thread::sleep_for(std::chrono::seconds(2));
  const std::string collective = std::getenv("MMADA_TEST_COLLECTIVE");
  const auto call = [&] {
    if (collective == "all_gather") group.all_gather(gathered, in).wait();
    if (collective == "reduce_scatter") group.reduce_scatter(part, in).wait();
    if (collective == "all_reduce") group.all_reduce(in);
  };
  const auto begin = Clock::now();
  CHECK_THROWS_WITH(call(), Catch::Contains("rank 0 of 2: " + collective));
  CHECK(Clock::now() - begin < std::chrono::milliseconds(1500));
}

TEST_CASE("every collective has the timeout that was set last") {
  for (const char* collective : {"all_gather", "reduce_scatter", "all_reduce"})
    CHECK(test::run_ranks("[.late]", 2, {{"MMADA_TEST_COLLECTIVE", collective}}) == 0);
}

TEST_CASE("a rank that is killed", "[.killed]") {
  const Group group = test::connect();
  group.barrier();
  if (group.rank() == 1) raise(SIGKILL);
  CHECK_THROWS_WITH(group.barrier(), Catch::Contains("process group: rank "));
}

TEST_CASE("a rank that dies ends the run at once with its status") {
  const auto begin = Clock::now();
  CHECK(test::run_ranks("[.killed]", 3) == 128 + SIGKILL);
  CHECK(Clock::now() - begin < std::chrono::seconds(20));
}

}  // namespace
}  // namespace mmada
