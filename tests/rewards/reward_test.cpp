// SPDX-License-Identifier: MIT
#include "mmada/rewards/reward.h"

#include <catch2/catch.hpp>

using namespace mmada;

namespace {

RewardSet set_of(const Json& list) { return {list, "run.json", "rewards"}; }

RewardSample sample(const std::string& task, const std::string& response, const std::string& answer) {
  return {.task = task, .prompt = "", .response = response, .image = {}, .answer = answer};
}

}  // namespace

TEST_CASE("a total is the weighted sum of the parts that have an opinion, none where none has") {
  RewardSet set =
      set_of({{{"name", "correct"}, {"tasks", {"text"}}, {"reward", {{"type", "math"}}}},
              {{"name", "word"}, {"weight", 0.5}, {"tasks", {"mmu"}}, {"reward", {{"type", "exact"}}}},
              {{"name", "form"}, {"weight", 2.0}, {"tasks", {"text"}}, {"reward", {{"type", "format"}}}}});
  const std::vector<RewardSample> samples = {sample("text", "<think>a</think>4", "4"),
                                             sample("mmu", "red", "red"), sample("text", "4", ""),
                                             sample("t2i", "", "")};
  const RewardTotals found = set.score(samples);
  CHECK((found.total == Scores{2.0 + 2.0 * 0.5, 0.5, 0.0, {}}));
  REQUIRE(found.parts.size() == 3);
  CHECK(found.parts[0].name == "correct");
  CHECK((found.parts[0].scores == Scores{2.0, {}, {}, {}}));
  CHECK((found.parts[1].scores == Scores{{}, 1.0, {}, {}}));
}

TEST_CASE("a reward judges the streams of prompts that it names, which have to be there") {
  const Json list = {{{"name", "a"}, {"streams", {"captions", "sums"}}, {"reward", {{"type", "math"}}}}};
  RewardSet set(list, "test", "rewards", {"sums", "captions", "questions"});
  std::vector<RewardSample> samples(3, sample("text", "4", "4"));
  samples[0].stream = "sums", samples[1].stream = "questions";
  CHECK((set.score(samples).total == Scores{2.0, {}, {}}));
  CHECK_THROWS_WITH(RewardSet(list, "test", "rewards", {"sums"}),
                    Catch::Contains("rewards[0].streams") && Catch::Contains("captions"));
}

TEST_CASE("mistakes in the list name the field") {
  const Json format = {{"type", "format"}};
  CHECK_THROWS_WITH(set_of(Json::array()), Catch::Contains("field `rewards`"));
  CHECK_THROWS_WITH(set_of({{{"name", "a"}, {"reward", {{"type", "maths"}}}}}),
                    Catch::Contains("rewards[0].reward.type") && Catch::Contains("\"math\""));
  CHECK_THROWS_WITH(set_of({{{"name", "a"}, {"reward", format}}, {{"name", "a"}, {"reward", format}}}),
                    Catch::Contains("rewards[1].name") && Catch::Contains("names that differ"));
  CHECK_THROWS_WITH(set_of({{{"name", "a"}, {"tasks", {"image"}}, {"reward", format}}}),
                    Catch::Contains("expected text, mmu or t2i"));
  CHECK_THROWS_WITH(set_of({{{"name", "a"}, {"wieght", 2}, {"reward", format}}}), Catch::Contains("weight"));
}

TEST_CASE("a failing reward abstains, gives 0 or stops, as it was told, and is named") {
  const Json broken = {{"type", "process"}, {"command", {"/bin/false"}}};
  const std::vector<RewardSample> samples = {sample("text", "<think>a</think>4", "4")};
  const auto with = [&](const char* policy) {
    return set_of({{{"name", "plugin"}, {"on_failure", policy}, {"reward", broken}},
                   {{"name", "form"}, {"reward", {{"type", "format"}}}}});
  };
  const RewardTotals abstained = with("abstain").score(samples), zero = with("zero").score(samples);
  CHECK((abstained.total == Scores{0.5}));
  CHECK((abstained.parts[0].scores == Scores{std::nullopt}));
  CHECK((zero.parts[0].scores == Scores{0.0}));
  REQUIRE(abstained.failures.size() == 1);
  CHECK_THAT(abstained.failures[0], Catch::StartsWith("reward plugin: it ended with status 1"));
  CHECK_THROWS_WITH(with("stop").score(samples), Catch::StartsWith("reward plugin: "));
}
