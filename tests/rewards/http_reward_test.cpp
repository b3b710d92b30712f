// SPDX-License-Identifier: MIT
#include "mmada/rewards/http_reward.h"

#include <catch2/catch.hpp>

#include "mmada/core/base64.h"
#include "tests/rewards/http_stub.h"

using namespace mmada;

namespace {

std::unique_ptr<Reward> http(const std::string& url, const Json& headers = Json::object()) {
  const Json reward = {{"type", "http"}, {"url", url}, {"headers", headers}};
  return make_reward(Fields(reward, "run.json", "reward"));
}

std::vector<RewardSample> batch() {
  const auto sample = [](const std::string& response, const std::string& answer) {
    return RewardSample{
        .task = "text", .prompt = "fail", .response = response, .image = {}, .answer = answer};
  };
  return {sample("abc \xE2\x82\xAC", "4"), sample("", "")};
}

std::string failure_of(Reward& reward, const std::vector<RewardSample>& samples) {
  try {
    reward.score(samples);
  } catch (const RewardFailure& failure) {
    return failure.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("a server gets prompts with responses, prompts and references, and answers with rewards or null") {
  const HttpStub stub;
  const auto reward = http(stub.url("abstains"));
  CHECK((reward->score(batch()) == Scores{std::nullopt, 2.5}));
  CHECK((reward->score(batch()) == Scores{std::nullopt, 2.5}));
  CHECK((http(stub.url("well"))->score(batch()) == Scores{5.0, 0.0}));  // characters
}

TEST_CASE("a server gets the configured headers, and pictures only where something was drawn") {
  const HttpStub stub;
  const auto reward = http(stub.url("echo"), {{"Authorization", "Bearer secret"}});
  std::vector<RewardSample> samples = batch();
  const std::string without = failure_of(*reward, samples);
  CHECK_THAT(without, Catch::Contains("Bearer secret") && Catch::Contains("found status 418"));
  CHECK_THAT(without, !Catch::Contains("images"));
  samples[1].image = Image{.width = 1, .height = 1, .channels = 3, .pixels = {255, 0, 0}};
  CHECK_THAT(failure_of(*reward, samples),
             Catch::Contains("images") && Catch::Contains("[null, \"data:image/png;base64,iVBOR"));
}

TEST_CASE("a server that is not there is a failure with its address") {
  CHECK_THAT(failure_of(*http("http://127.0.0.1:1/judge"), batch()),
             Catch::Contains("http://127.0.0.1:1/judge: ") && Catch::Contains("onnect"));
}

TEST_CASE("mistakes in a server's configuration name the field, before anything runs") {
  CHECK_THROWS_WITH(http("ftp://host/"),
                    Catch::Contains("reward.url") && Catch::Contains("http:// or https://"));
  CHECK_THROWS_WITH(http("http://"), Catch::Contains("reward.url"));
  CHECK_THROWS_WITH(http("http://me:secret@host/"),
                    Catch::Contains("reward.url") && !Catch::Contains("secret"));
  CHECK_NOTHROW(http("http://host/path@home"));
  CHECK_THROWS_WITH(http("http://host/", {{"X", "a\r\nY: b"}}), Catch::Contains("reward.headers.X"));
  CHECK_THROWS_WITH(http("http://host/", {{"X:", "a"}}), Catch::Contains("reward.headers.X:"));
  CHECK_THROWS_WITH(http("http://host/", {{"X", 7}}), Catch::Contains("expected a text"));
  CHECK_THROWS_WITH(http("http://host/", 7), Catch::Contains("expected an object of texts"));
}
