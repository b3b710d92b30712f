// SPDX-License-Identifier: MIT
#include "mmada/trainer/unigrpo/phase.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "mmada/core/check.h"

namespace mmada {
namespace {

RolloutPhase small_phase() {
  RolloutPhase phase{.outer_step = 12};
  phase.responses = {{.ids = {0, 5, 6}, .tokens = {1, 2}, .commit_steps = {1, 0}, .text = "fünf \"sechs\""},
                     {.ids = {0, 41}, .tokens = {1}, .commit_steps = {0}, .picture = true}};
  phase.advantages = {0.1 + 0.2, std::nullopt};
  phase.old = {at::tensor({-1.1f, -2.25f}), at::tensor({-0.1f})};
  phase.reference = {at::tensor({-1.0 / 3, -2.0}, at::kDouble), at::empty({0}, at::kDouble)};
  return phase;
}

TEST_CASE("a phase comes back from its text to the bit") {
  const RolloutPhase phase = small_phase();
  const RolloutPhase back = parse_phase(parse_json(phase_json(phase).dump(), "text"), "state.json", "phase");
  CHECK(back.outer_step == 12);
  REQUIRE(back.responses.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(back.responses[i].ids == phase.responses[i].ids);
    CHECK(back.responses[i].tokens == phase.responses[i].tokens);
    CHECK(back.responses[i].commit_steps == phase.responses[i].commit_steps);
    CHECK(back.responses[i].picture == phase.responses[i].picture);
    CHECK(back.responses[i].text == phase.responses[i].text);
  }
  CHECK((back.advantages == phase.advantages));
  for (size_t i = 0; i < 2; ++i) {
    CHECK(at::equal(back.old[i], phase.old[i]));
    CHECK(back.reference[i].scalar_type() == at::kDouble);
    CHECK(at::equal(back.reference[i], phase.reference[i]));
  }
}

TEST_CASE("what does not fit together is refused with its place") {
  const auto error_of = [](const auto& change) {
    Json json = phase_json(small_phase());
    change(json);
    try {
      parse_phase(json, "state.json", "phase");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(error_of([](Json& json) {
          json["responses"][0]["tokens"] = {1, 3};
        }) == "state.json: field `phase.responses[0].tokens`: found 3, expected integers from 0 to 2");
  CHECK_THAT(error_of([](Json& json) { json["responses"][1]["commit_steps"] = Json::array(); }),
             Catch::Contains("phase.responses[1].commit_steps`: found 0 steps, expected 1"));
  CHECK_THAT(error_of([](Json& json) { json["advantages"] = {1.0}; }),
             Catch::Contains("phase.advantages`: found 1 of them, expected 2"));
  CHECK_THAT(error_of([](Json& json) { json["old"][0]["values"] = "AAA="; }),
             Catch::Contains("phase.old[0].values`: found 2 bytes, expected a multiple of 4"));
}

}  // namespace
}  // namespace mmada
