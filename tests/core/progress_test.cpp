// SPDX-License-Identifier: MIT
#include "mmada/core/progress.h"

#include <catch2/catch.hpp>
#include <sstream>

using namespace mmada;

TEST_CASE("durations read as minutes or hours") {
  CHECK(duration_text(0) == "0:00");
  CHECK(duration_text(65.4) == "1:05");
  CHECK(duration_text(3723) == "1:02:03");
}

TEST_CASE("on a terminal one line is redrawn and ended once") {
  std::ostringstream out;
  {
    Progress progress(&out, {.label = "steps", .total = 4, .terminal = true});
    for (int64_t i = 1; i <= 4; ++i) progress.update(i, "loss 1.5");
  }
  const std::string text = out.str();
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK(text.back() == '\n');
  CHECK_THAT(text, Catch::Contains("\rsteps [======                  ] 1/4  loss 1.5"));
  CHECK_THAT(text, Catch::Contains("[========================] 4/4"));
}

TEST_CASE("elsewhere plain lines are written, sparsely, and the last state always") {
  std::ostringstream out;
  {
    Progress progress(&out, {.label = "steps", .total = 100, .log_seconds = 1000});
    for (int64_t i = 1; i <= 100; ++i) progress.update(i);
  }
  const std::string text = out.str();
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK_THAT(text, Catch::StartsWith("steps 1/100") && Catch::Contains("steps 100/100"));
  CHECK(text.find('\r') == std::string::npos);
}

TEST_CASE("without a stream nothing happens") {
  Progress progress(nullptr, {.label = "steps", .total = 1});
  progress.update(1);
  progress.finish();
}
