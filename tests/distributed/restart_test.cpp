// SPDX-License-Identifier: MIT
#include "mmada/distributed/restart.h"

#include <catch2/catch.hpp>

namespace mmada {
namespace {

using std::chrono::seconds;

TEST_CASE("without restarts allowed the first failure is the end") {
  RestartGuard guard({});
  CHECK_FALSE(guard.next(0).has_value());
  CHECK(guard.reason() == "started again 0 times, as often as allowed");
}

TEST_CASE("failures without progress wait longer each time and end the run at the third") {
  RestartGuard guard({.restarts = 100});
  CHECK(guard.next(40) == seconds(1));
  CHECK(guard.next(40) == seconds(2));
  CHECK_FALSE(guard.next(40).has_value());
  CHECK(guard.reason() == "failed 3 times in a row without getting beyond step 40");
}

TEST_CASE("a run that gets on is started again at once, as often as allowed") {
  RestartGuard guard({.restarts = 50});
  for (int64_t step = 0; step < 50; ++step) CHECK(guard.next(step) == seconds(1));
  CHECK_FALSE(guard.next(50).has_value());
}

TEST_CASE("the wait has a limit") {
  RestartGuard guard({.restarts = 100, .same_place = 50});
  seconds wait{0};
  for (int i = 0; i < 12; ++i) wait = *guard.next(7);
  CHECK(wait == seconds(60));
}

}  // namespace
}  // namespace mmada
