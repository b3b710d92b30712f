// SPDX-License-Identifier: MIT
#include "mmada/trainer/straggler.h"

#include <catch2/catch.hpp>

#include "mmada/core/rng.h"

namespace {

using namespace mmada;

/// Steps of 0.1 s, a fifth of it for data, that scatter by up to 20 % to both sides, and of which one in
/// fifty takes five times as long.
class Steps {
 public:
  explicit Steps(int ranks) : ranks_(ranks) {}
  std::vector<std::vector<double>> next() {
    std::vector<std::vector<double>> seconds;
    for (int rank = 0; rank < ranks_; ++rank) {
      const double scatter = 0.8 + 0.4 * random_.uniform(), hiccup = random_.below(50) == 0 ? 5.0 : 1.0;
      seconds.push_back({0.02 * scatter, 0.08 * scatter * hiccup});
    }
    return seconds;
  }

 private:
  int ranks_;
  Rng random_{22, "steps"};
};

constexpr size_t kData = 0, kCompute = 1;

}  // namespace

TEST_CASE("a process that is twice as slow is reported within ten steps, with the phase it loses time in") {
  for (const int ranks : {2, 3, 4, 8})
    for (const size_t phase : {kData, kCompute})
      for (int slow = 0; slow < ranks; ++slow) {
        INFO(ranks << " ranks, phase " << phase << ", slow " << slow);
        StragglerWatch watch({"data", "compute"});
        Steps steps(ranks);
        for (int step = 0; step < 50; ++step) REQUIRE(watch.observe(steps.next()).empty());
        std::vector<Straggler> found;
        int reported_at = 0;
        for (int step = 1; step <= 20; ++step) {
          auto seconds = steps.next();
          seconds[static_cast<size_t>(slow)][phase] += 0.1;
          for (const Straggler& straggler : watch.observe(seconds)) {
            found.push_back(straggler);
            reported_at = step;
          }
        }
        REQUIRE(found.size() == 1);  // once, not at every step
        CHECK(reported_at <= 10);
        CHECK(found[0].rank == slow);
        CHECK(found[0].phase == (phase == kData ? "data" : "compute"));
        CHECK(found[0].seconds > 1.4 * found[0].expected);
      }
}

TEST_CASE("a thousand even steps give no alarm, a process that is slow twice gives two") {
  for (const int ranks : {1, 2, 4, 8}) {
    StragglerWatch watch({"data", "compute"});
    Steps steps(ranks);
    for (int step = 0; step < 1000; ++step) CHECK(watch.observe(steps.next()).empty());
  }
  StragglerWatch watch({"data", "compute"});
  Steps steps(3);
  size_t alarms = 0;
  for (int step = 0; step < 80; ++step) {
    auto seconds = steps.next();
    if (step / 20 % 2 == 1) seconds[1][kCompute] += 0.1;
    alarms += watch.observe(seconds).size();
  }
  CHECK(alarms == 2);
}

TEST_CASE("differences that are too short to matter are no alarm") {
  StragglerWatch watch({"all"});
  for (int step = 0; step < 100; ++step) CHECK(watch.observe({{0.0010}, {0.0029}}).empty());
  size_t alarms = 0;
  for (int step = 0; step < 100; ++step) alarms += watch.observe({{0.0010}, {0.0031}}).size();
  CHECK(alarms == 1);
}
