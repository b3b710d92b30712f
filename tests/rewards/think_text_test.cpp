// SPDX-License-Identifier: MIT
#include "mmada/rewards/think_text.h"

#include <catch2/catch.hpp>

using namespace mmada;

TEST_CASE("a response is reasoning between its marks and the answer behind them") {
  const ThinkText parts = read_think_text(" <think>2 and 2</think> 4 ");
  CHECK(parts.well_formed);
  CHECK(parts.reasoning == "2 and 2");
  CHECK(parts.answer == " 4 ");
}

TEST_CASE("marks that are missing, doubled, out of order or around nothing are not well formed") {
  for (const char* response :
       {"4", "<think>a</think>", "<think>a</think>  \n", "<think> </think>4", "</think>a<think>4",
        "<think>a 4", "a</think>4", "<think>a</think><think>b</think>4", "<think><think>a</think>4",
        "so <think>a</think>4", "<think>a</think>4</think>5", ""}) {
    INFO(response);
    CHECK_FALSE(read_think_text(response).well_formed);
  }
}

TEST_CASE("the answer is what follows the last closing mark, all of it without one") {
  CHECK(read_think_text("no marks").answer == "no marks");
  CHECK(read_think_text("<think>a</think>4</think>5").answer == "5");
  CHECK(read_think_text("<think>never closed 7").answer == "<think>never closed 7");
  CHECK(read_think_text("</think>a<think>").reasoning.empty());
}
