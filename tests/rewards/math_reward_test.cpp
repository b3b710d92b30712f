// SPDX-License-Identifier: MIT
#include "mmada/rewards/math_reward.h"

#include <catch2/catch.hpp>

using namespace mmada;

namespace {

std::unique_ptr<Reward> math(const Json& more) {
  Json reward = {{"type", "math"}};
  reward.update(more);
  return make_reward(Fields(reward, "run.json", "reward"));
}

RewardSample sample(const std::string& response, const std::string& answer) {
  return {.task = "text", .prompt = "p", .response = response, .image = {}, .answer = answer};
}

/// A verifier that answers what a shell program prints for the line it read into $line.
Json verifier(const std::string& body) {
  return {{"verify", true},
          {"worker",
           {"/bin/sh", "-c",
            "echo '{\"protocol\": 1}' >&3; n=0; while read -r line <&3; do n=$((n+1)); " + body + "; done"}}};
}

const std::string kSaysWhatItGot =
    "printf '{\"id\": %d, \"error\": \"%s\"}\\n' $n \"$(printf %s \"$line\" | tr -d '\\\\\\\\\"')\" >&3";

}  // namespace

TEST_CASE("numbers and fractions are judged without a worker, which is not even started") {
  const auto reward = math({{"verify", true}, {"worker", {"/no/such/program"}}});
  const std::vector<RewardSample> known = {sample("\\boxed{0.5}", "\\frac12"), sample("it is 3", "4"),
                                           sample("\\boxed{\\frac{2}{4}}", "0.5"), sample("\\boxed{x}", ""),
                                           sample("\\boxed{\\sqrt{3}}", "\\sqrt{3}")};
  CHECK((reward->score(known) == Scores{2.0, 0.0, 2.0, {}, 2.0}));
}

TEST_CASE("what numbers cannot say goes to the worker in one batch, and what fails there fails the batch") {
  const auto reward = math(verifier("printf '{\"id\": %d, \"scores\": [1, 0, null]}\\n' $n >&3"));
  const std::vector<RewardSample> samples = {sample("\\boxed{a}", "b"), sample("\\boxed{4}", "4"),
                                             sample("\\boxed{c}", "d"), sample("\\boxed{e}", "f"),
                                             sample("\\boxed{g}", "")};
  CHECK((reward->score(samples) == Scores{2.0, 2.0, 0.0, {}, {}}));        // null: it cannot tell
  CHECK_THROWS_AS(reward->score(std::vector{samples[0]}), RewardFailure);  // three scores for one question
  CHECK((math(Json::object())->score(samples) == Scores{0.0, 2.0, 0.0, 0.0, {}}));
}

TEST_CASE("the worker gets a marked final answer as mathematics, else the text behind the reasoning") {
  const auto asked = [](const std::string& response, const std::string& answer) {
    try {
      math(verifier(kSaysWhatItGot))->score(std::vector{sample(response, answer)});
    } catch (const RewardFailure& failure) {
      return std::string(failure.what());
    }
    return std::string("none");
  };
  CHECK_THAT(asked("<think>\\boxed{z}</think>so \\boxed{x+1}", "1+x"),
             Catch::Contains("response:$x+1$,") && Catch::Contains("answer:$1+x$,"));
  CHECK_THAT(asked("<think>2</think>so x+1", "$1+x$"),
             Catch::Contains("response:so x+1,") && Catch::Contains("answer:$1+x$,"));
  CHECK_THAT(asked("\\boxed{x}", "thus \\boxed{y}"), Catch::Contains("answer:$y$,"));
  CHECK_THAT(asked("$\\frac{\\sqrt 9}{2}$", "1.5"), Catch::Contains("sqrt 9"));  // its 2 alone would be wrong
}

TEST_CASE("computer algebra finds roots, sets, intervals and expressions equal, and others different") {
  const std::vector<std::pair<RewardSample, bool>> pairs = {
      {sample("\\boxed{\\sqrt{3}/2}", "\\frac{\\sqrt{3}}{2}"), true},
      {sample("<think>hm</think>It is $\\frac{\\sqrt{3}}{2}$.", "$\\sqrt{3}/2$"), true},
      {sample("\\boxed{\\sqrt{3}/3}", "\\frac{\\sqrt{3}}{2}"), false},
      {sample("\\boxed{\\{3, 2, 1\\}}", "\\{1,2,3\\}"), true},
      {sample("\\boxed{\\{1, 2\\}}", "\\{1,2,3\\}"), false},
      {sample("\\boxed{[0, 1)}", "[0,1)"), true},
      {sample("\\boxed{(0, 1)}", "[0,1)"), false},
      {sample("\\boxed{(x+1)^2}", "x^2+2x+1"), true},
      {sample("\\boxed{(x+1)^3}", "x^2+2x+1"), false},
      {sample("\\boxed{2\\pi}", "\\pi\\cdot 2"), true},
      {sample("\\boxed{}}{\\frac", "\\sqrt{2}"), false},
      {sample("I do not know", "\\sqrt{2}"), false}};
  std::vector<RewardSample> samples;
  for (const auto& [sample, equal] : pairs) samples.push_back(sample);
  const Scores scores =
      math({{"verify", true}, {"workers", 2}, {"timeout_seconds", 300}, {"startup_seconds", 300}})
          ->score(samples);
  REQUIRE(scores.size() == pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    INFO(samples[i].response << " and " << samples[i].answer);
    CHECK(scores[i] == (pairs[i].second ? 2.0 : 0.0));
  }
}

TEST_CASE("a number within a reference is no answer, the one that it states is") {
  const std::vector<RewardSample> samples = {sample("\\boxed{2}", "\\frac{\\sqrt{3}}{2}"),
                                             sample("\\boxed{1}", "x + 1"),
                                             sample("\\boxed{1}", "y = x + 1"),
                                             sample("\\boxed{5}", "x = 5"),
                                             sample("5", "the answer is 5."),
                                             sample("5", "so\n#### 5"),
                                             sample("\\boxed{5}", "thus $x^2 = \\boxed{5}$")};
  CHECK((math(Json::object())->score(samples) == Scores{0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0}));
}

TEST_CASE("a worker without verification is a mistake") {
  CHECK_THROWS_WITH(math({{"worker", {"x"}}}), Catch::Contains("reward.worker"));
}
