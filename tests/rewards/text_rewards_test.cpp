// SPDX-License-Identifier: MIT
#include "mmada/rewards/text_rewards.h"

#include <catch2/catch.hpp>

using namespace mmada;

namespace {

std::optional<double> score(const Json& config, const std::string& response, const std::string& answer = "") {
  const auto reward = make_reward(Fields(config, "test"));
  const RewardSample sample{
      .task = "text", .prompt = "", .response = response, .image = {}, .answer = answer};
  return reward->score({&sample, 1}).front();
}

}  // namespace

TEST_CASE(
    "mathematics pays 2 for the reference's number behind the reasoning and abstains without a reference") {
  const Json math = {{"type", "math"}};
  CHECK(score(math, "<think>1</think>\\boxed{42}", "42") == 2.0);
  CHECK(score(math, "<think>42</think>41", "42") == 0.0);
  CHECK(score(math, "It is 0.5", "\\frac{1}{2}") == 2.0);
  CHECK(score(math, "It is 18 dollars.", "He pays 9 * 2 = 18\n#### 18") == 2.0);
  CHECK(score(math, "nothing", "42") == 0.0);
  CHECK_FALSE(score(math, "42"));
  CHECK(score({{"type", "math"}, {"correct", 1.0}, {"wrong", -0.5}}, "41", "42") == -0.5);
}

TEST_CASE("a choice is a letter that stands alone or is marked, and one letter only") {
  CHECK(choice_letter("(B)") == 'B');
  CHECK(choice_letter(" b ") == 'B');
  CHECK(choice_letter("B. a red cube") == 'B');
  CHECK(choice_letter("The answer is C.") == 'C');
  CHECK(choice_letter("Answer: D") == 'D');
  CHECK(choice_letter("\\boxed{A}") == 'A');
  CHECK_FALSE(choice_letter("A) or B)"));
  CHECK_FALSE(choice_letter("I think so"));
  CHECK_FALSE(choice_letter("none of them"));
  CHECK_FALSE(choice_letter(""));
  const Json choice = {{"type", "choice"}};
  CHECK(score(choice, "<think>A?</think>(B)", "B") == 2.0);
  CHECK(score(choice, "<think>B</think>A", "B") == 0.0);
  CHECK(score(choice, "no", "B") == 0.0);
}

TEST_CASE("exact and containing answers, with and without case") {
  CHECK(score({{"type", "exact"}}, "<think>x</think> Red cube\n", "red cube") == 1.0);
  CHECK(score({{"type", "exact"}, {"case", true}}, "Red", "red") == 0.0);
  CHECK(score({{"type", "exact"}}, "a red cube", "red cube") == 0.0);
  CHECK(score({{"type", "contains"}}, "a Red cube", "red cube") == 1.0);
  CHECK(score({{"type", "contains"}}, "<think>red cube</think>blue", "red cube") == 0.0);
  CHECK_FALSE(score({{"type", "contains"}}, "anything"));
}

TEST_CASE("the format pays for one well-formed reasoning") {
  CHECK(score({{"type", "format"}}, "<think>a</think>b") == 0.5);
  CHECK(score({{"type", "format"}}, "b") == 0.0);
}

TEST_CASE("length pays in full up to the target and less up to the limit") {
  const Json length = {{"type", "length"}, {"target", 10}, {"limit", 20}, {"value", 1.0}};
  CHECK(score(length, std::string(10, 'a')) == 1.0);
  CHECK(*score(length, std::string(15, 'a')) == Approx(0.5));
  CHECK(score(length, std::string(99, 'a')) == 0.0);
  CHECK_THROWS_WITH(score({{"type", "length"}, {"target", 10}, {"limit", 10}}, ""),
                    Catch::Contains("found 10, expected more than target"));
}
