// SPDX-License-Identifier: MIT
#include "mmada/trainer/goodput.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "mmada/core/check.h"
#include "mmada/formats/atomic_file.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

/// A run's folder with a checkpoint at every step given, and what its state.json says.
std::string run_with(const std::string& name, const std::vector<std::pair<int, std::string>>& states) {
  const fs::path run = fs::path(MMADA_TEST_TMP) / ("goodput_" + name);
  fs::remove_all(run);
  fs::create_directories(run);
  for (const auto& [step, state] : states) {
    fs::create_directory(run / cat("checkpoint-", step));
    write_file((run / cat("checkpoint-", step) / "state.json").string(), state);
  }
  return run.string();
}

void add(const std::string& run, int step, const std::string& state) {
  fs::create_directory(cat(run, "/checkpoint-", step));
  write_file(cat(run, "/checkpoint-", step, "/state.json"), state);
}

TEST_CASE("steps count that the newest checkpoint holds beyond the one that the run began from") {
  const std::string run =
      run_with("latest", {{5, R"({"productive_seconds": 2.5})"}, {10, R"({"productive_seconds": 4})"}});
  const auto began_from = [&](const std::string& beginning) { return GoodputClock(run, beginning); };
  const GoodputClock latest = began_from("latest"), anew = began_from("none"),
                     five = began_from(run + "/checkpoint-5");
  CHECK(latest.now().productive_seconds == 0.0);
  add(run, 12, R"({"productive_seconds": 7.25})");
  CHECK(latest.now().productive_seconds == 3.25);
  CHECK(five.now().productive_seconds == 4.75);
  CHECK(anew.now().productive_seconds == 7.25);
}

TEST_CASE("time passes whether steps are made or not") {
  const GoodputClock clock(run_with("wall", {}), "latest");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(clock.nothing().wall_seconds >= 0.02);
  CHECK(clock.nothing().productive_seconds == 0.0);
  CHECK(clock.now().productive_seconds == 0.0);
  CHECK(Goodput{.productive_seconds = 3, .wall_seconds = 4}.share() == 0.75);
  CHECK(Goodput{}.share() == 0.0);
}

TEST_CASE("a checkpoint of a time before steps were counted holds none, a damaged one is named") {
  const std::string run = run_with("damaged", {{1, R"({"step": 1})"}});
  CHECK(GoodputClock(run, "latest").now().productive_seconds == 0.0);
  for (const char* damaged : {"", "{", "[]", R"({"productive_seconds": "4"})"}) {
    const GoodputClock before(run, "none");
    add(run, 2, damaged);
    CHECK_THROWS_WITH(before.now(), Catch::Contains("checkpoint-2"));
    const GoodputClock after(run, "latest");  // the run itself may go on: it passes over the checkpoint
    add(run, 2, R"({"productive_seconds": 1})");
    CHECK_THROWS_WITH(after.now(), Catch::Contains("checkpoint-2"));
    CHECK(before.now().productive_seconds == 1.0);
  }
}

}  // namespace
}  // namespace mmada
