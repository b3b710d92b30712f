// SPDX-License-Identifier: MIT
#include "mmada/distributed/launch.h"

#include <catch2/catch.hpp>
#include <chrono>

#include "mmada/core/check.h"

namespace mmada {
namespace {

int shell(const std::string& script, int processes) {
  return launch({.command = {"/bin/sh", "-c", script},
                 .processes = processes,
                 .port = 0,
                 .environment = {{"FOR_THE_RUN", "here"}}});
}

TEST_CASE("every process gets its rank, the run's size and the added variables") {
  CHECK(shell("test $WORLD_SIZE = 3 && test $FOR_THE_RUN = here && test $RANK = $LOCAL_RANK && test "
              "$MASTER_PORT -gt 0",
              3) == 0);
  CHECK(shell("exit $RANK", 1) == 0);
}

TEST_CASE("the first failure's status is the run's, and ends the others") {
  const auto begin = std::chrono::steady_clock::now();
  CHECK(shell("if [ $RANK = 1 ]; then exit 7; fi; exec sleep 60", 3) == 7);
  CHECK(shell("if [ $RANK = 0 ]; then kill -9 $$; fi; exec sleep 60", 2) == 128 + 9);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

TEST_CASE("SIGTERM is passed on, so that the processes end as they see fit") {
  CHECK(shell("trap 'exit 0' TERM; if [ $RANK = 0 ]; then sleep 0.3; kill -TERM $PPID; fi; while :; do sleep "
              "0.1; done",
              2) == 0);
}

TEST_CASE("a program that cannot be started is an error that names it") {
  CHECK_THROWS_WITH(launch({.command = {"/no/such/program"}, .processes = 1, .port = 0}),
                    Catch::Contains("/no/such/program"));
}

}  // namespace
}  // namespace mmada
