// SPDX-License-Identifier: MIT
// MMADA_TEST_PLUGINS is the folder of bad_plugin.so, raw_plugin.so, raw_plugin_2.so (another version) and
// no_plugin.so (a library without the symbol).
#include "mmada/rewards/plugin_reward.h"

#include <catch2/catch.hpp>
#include <fstream>

using namespace mmada;

namespace {

std::string library(const std::string& name) { return std::string(MMADA_TEST_PLUGINS) + "/" + name; }

std::unique_ptr<Reward> plugin(const std::string& name, const Json& config = Json::object()) {
  const Json reward = {{"type", "plugin"}, {"library", library(name)}, {"config", config}};
  return make_reward(Fields(reward, "run.json", "reward"));
}

RewardSample sample(const std::string& response) {
  return {.task = "text", .prompt = "four", .response = response, .image = {}, .answer = "12"};
}

std::string failure_of(Reward& reward) {
  const std::vector<RewardSample> two = {sample("a"), sample("b")};
  try {
    reward.score(two);
  } catch (const RewardFailure& failure) {
    return failure.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("a plugin sees every text byte for byte, abstains by its mask, and is asked again") {
  const auto reward = plugin("raw_plugin.so");
  std::vector<RewardSample> samples = {sample(std::string("a\0\xE2\x82\xAC\n\"", 7)), sample("")};
  samples[0].metadata = {{"k", 1}};                             // {"k":1}: 7 bytes
  const Scores expected = {4.0 + 4 + 7 + 2 + 7, std::nullopt};  // task, prompt, response, answer, metadata
  CHECK((reward->score(samples) == expected));
  CHECK((reward->score(samples) == expected));
}

TEST_CASE("a plugin sees a picture's pixels as RGB, a grey one too") {
  const auto reward = plugin("raw_plugin.so");
  std::vector<RewardSample> samples = {sample("x"), sample("x")};
  samples[0].image = Image{.width = 2, .height = 1, .channels = 3, .pixels = {1, 2, 3, 40, 5, 6}};
  samples[1].image = Image{.width = 3, .height = 2, .channels = 1, .pixels = {1, 2, 3, 4, 5, 99}};
  CHECK((reward->score(samples) == Scores{40.0 + 2000 + 1e6, 99.0 + 3000 + 2e6}));
}

TEST_CASE("mistakes of a plugin on the bare interface are said") {
  const auto fails = [](const char* mistake, const std::string& expected) {
    INFO(mistake);
    const auto reward = plugin("raw_plugin.so", {{"do", mistake}});
    CHECK_THAT(failure_of(*reward), Catch::Contains(expected));
  };
  fails("null", "it failed and gave no reason");
  fails("missing", "sample 1: found neither a score nor an abstention");
  fails("verdict", "sample 0: found neither a score nor an abstention");
  fails("silent", "it failed and gave no reason");
  fails("throw", "it threw what is no std::exception");
  fails("long", "xxxx");
}

TEST_CASE("what is no plugin, of another version, or does not start is a failure that says so") {
  CHECK_THAT(failure_of(*plugin("no_plugin.so")),
             Catch::Contains("found no symbol mmada_reward_plugin_table"));
  CHECK_THAT(failure_of(*plugin("raw_plugin_2.so")),
             Catch::Contains("found version 2 of the plugin interface, expected 1"));
  CHECK_THAT(failure_of(*plugin("bad_plugin.so", {{"do", "no start"}})),
             Catch::Contains("it says \"there is no model\""));
  std::ofstream(library("text.so")) << "no library";
  CHECK_THAT(failure_of(*plugin("text.so")), Catch::Contains("text.so: cannot be loaded: "));
}

TEST_CASE("mistakes in a plugin's configuration name the field, before anything runs") {
  const auto make = [](const Json& fields) {
    Json reward = {{"type", "plugin"}};
    reward.update(fields);
    return make_reward(Fields(reward, "run.json", "reward"));
  };
  CHECK_THROWS_WITH(make({{"library", "no.so"}}),
                    Catch::Contains("reward.library") && Catch::Contains("expected a shared library"));
  CHECK_THROWS_WITH(make({{"library", library("raw_plugin.so")}, {"config", 7}}),
                    Catch::Contains("reward.config") && Catch::Contains("expected an object"));
  CHECK_THROWS_WITH(make({{"library", library("raw_plugin.so")}, {"timeout", 7}}),
                    Catch::Contains("timeout"));
}
