// SPDX-License-Identifier: MIT
#include "mmada/trainer/lr_schedule.h"

#include <catch2/catch.hpp>
#include <cmath>

namespace {

using namespace mmada;

LrSchedule schedule(const char* text, int64_t total) {
  const Json json = Json::parse(text);
  return parse_lr_schedule(Fields(json, "test", "lr_scheduler"), total);
}

}  // namespace

TEST_CASE("warm-up rises from zero, then cosine falls to its floor") {
  const LrSchedule cosine = schedule(R"({"name": "cosine", "warmup_steps": 10, "min_lr_scale": 0.1})", 110);
  CHECK(cosine.factor(0) == 0.0);
  CHECK(cosine.factor(5) == 0.5);
  CHECK(cosine.factor(10) == 1.0);
  CHECK(cosine.factor(60) == Approx(0.55));
  CHECK(cosine.factor(35) == Approx(0.1 + 0.9 * 0.5 * (1 + std::cos(M_PI / 4))));
  CHECK(cosine.factor(110) == Approx(0.1));
  CHECK(cosine.factor(500) == Approx(0.1));
}

TEST_CASE("the other schedules follow their formulas") {
  CHECK(schedule("{}", 10).factor(0) == 1.0);
  CHECK(schedule(R"({"name": "constant_with_warmup", "warmup_steps": 4})", 10).factor(2) == 0.5);
  CHECK(schedule(R"({"name": "constant_with_warmup", "warmup_steps": 4})", 10).factor(9) == 1.0);
  CHECK(schedule(R"({"name": "linear", "warmup_steps": 2, "min_lr_scale": 0.03})", 10).factor(6) ==
        Approx(0.515));
  CHECK(schedule(R"({"name": "polynomial", "power": 2})", 10).factor(5) == Approx(0.25));
  const LrSchedule stable =
      schedule(R"({"name": "warmup_stable_decay", "warmup_steps": 2, "decay_steps": 4})", 10);
  CHECK(stable.factor(1) == 0.5);
  CHECK(stable.factor(6) == 1.0);
  CHECK(stable.factor(7) == 0.75);
  CHECK(stable.factor(9) == 0.25);
}

TEST_CASE("contradicting schedules are refused") {
  CHECK_THROWS_WITH(schedule(R"({"name": "constant", "warmup_steps": 3})", 10),
                    Catch::Contains("warmup_steps"));
  CHECK_THROWS_WITH(schedule(R"({"name": "cosin"})", 10), Catch::Contains("cosine"));
  CHECK_THROWS_WITH(schedule(R"({"name": "warmup_stable_decay", "decay_steps": 8, "warmup_steps": 3})", 10),
                    Catch::Contains("decay_steps"));
  CHECK_THROWS_WITH(schedule(R"({"warm": 3})", 10), Catch::Contains("unknown field"));
}
