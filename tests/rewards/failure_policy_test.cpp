// SPDX-License-Identifier: MIT
// Every way to fail times every kind of reward that another program computes times every policy: the failure
// is one line with the reward's name, the policy decides what the samples get, and the next batch meets a
// fresh worker. MMADA_TEST_PLUGINS is the folder of bad_plugin.so.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "mmada/rewards/reward.h"
#include "tests/rewards/http_stub.h"

using namespace mmada;

namespace {

const bool kFull = std::getenv("MMADA_FULL") != nullptr && std::string(std::getenv("MMADA_FULL")) == "1";

/// A mistake that a reward makes on batches whose first prompt is "fail".
struct Mistake {
  std::string name;
  Json reward;
  std::string message;  ///< part of it; empty where no harm is done
  bool hangs = false;   ///< the time limit is short, so no batch is sure to be judged in time
};

Json with_limit(Json reward, bool hangs) {
  reward["timeout_seconds"] = hangs ? 0.3 : 60;
  return reward;
}

Mistake of_plugin(const std::string& what, const std::string& message, bool hangs = false) {
  return {"plugin: " + what,
          with_limit({{"type", "plugin"},
                      {"library", std::string(MMADA_TEST_PLUGINS) + "/bad_plugin.so"},
                      {"config", {{"do", what}}}},
                     hangs),
          message, hangs};
}

/// A shell program that runs this in place of answering a batch that is to fail.
Mistake of_process(const std::string& body, const std::string& message, bool hangs = false) {
  const std::string program =
      "echo '{\"protocol\": 1}' >&3; n=0; while read -r line <&3; do n=$((n+1)); "
      "case $line in *'\"prompt\":\"fail\"'*) " +
      body + " ;; *) : ;; esac; printf '{\"id\": %d, \"scores\": [3, 5]}\\n' $n >&3; done";
  return {"process: " + body,
          with_limit({{"type", "process"}, {"command", {"/bin/sh", "-c", program}}}, hangs), message, hangs};
}

/// A server that makes this mistake of http_stub.py's.
Mistake of_server(const HttpStub& stub, const std::string& path, const std::string& message,
                  bool hangs = false) {
  return {"http: " + path, with_limit({{"type", "http"}, {"url", stub.url(path)}}, hangs), message, hangs};
}

std::vector<Mistake> mistakes_of_servers(const HttpStub& stub) {
  return {of_server(stub, "error", "found status 500"),
          of_server(stub, "redirect", "found status 307"),
          of_server(stub, "garbage", "expected JSON"),
          of_server(stub, "nan", "expected JSON"),
          of_server(stub, "list", "expected an object with a list"),
          of_server(stub, "count", "found 1 rewards, expected 2"),
          of_server(stub, "text", "as reward 1, expected a number or null"),
          of_server(stub, "closes", "Empty reply"),
          of_server(stub, "cut", "bytes remaining"),
          of_server(stub, "huge", "found an answer of more than 16777216 bytes"),
          of_server(stub, "slow", "timed out after", true),
          of_server(stub, "drip", "timed out after", true)};
}

std::vector<Mistake> mistakes() {
  const std::string flood = "yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | head -c 2000000";
  return {of_plugin("throw", "it says \"no model\""),
          of_plugin("throw 7", "it says \"it threw what is no std::exception\""),
          of_plugin("crash", "it was ended by signal 11"),
          of_plugin("abort", "it was ended by signal 6"),
          of_plugin("exit", "it ended with status 3"),
          of_plugin("nan", "found nan as score 0, expected a finite one"),
          of_plugin("infinity", "found inf as score 0, expected a finite one"),
          of_plugin("huge", "found a score of 1e+308, expected a finite one of at most 1e+30"),
          of_plugin("count", "found 1 scores, expected 2"),
          of_plugin("stdout", ""),
          of_plugin("stderr", ""),
          of_plugin("close 3", ""),
          of_plugin("close all", "it ended with status 1"),
          of_plugin("hang", "no answer within its time limit", true),
          of_plugin("stop", "no answer within its time limit", true),
          of_plugin("spin", "no answer within its time limit", true),
          of_plugin("deadlock", "no answer within its time limit", true),
          of_plugin("recurse", "it was ended by signal 11"),
          of_process("kill -SEGV $$", "it was ended by signal 11"),
          of_process("exit 3", "it ended with status 3"),
          of_process("printf '{\"id\": %d, \"scores\": [NaN, 1]}\\n' $n >&3", "expected a line of JSON"),
          of_process("printf '{\"id\": %d, \"scores\": [1]}\\n' $n >&3", "found 1 scores, expected 2"),
          of_process("printf '\\001\\377\\n' >&3", "expected a line of JSON"),
          of_process("printf '{\"id\": %d, \"error\": \"two\\\\nlines\"}\\n' $n >&3", "it says \"two"),
          of_process("exec 3>&- 3<&-; sleep 60", "it closed its descriptor"),
          of_process(flood, ""),
          of_process(flood + " >&2", ""),
          of_process("sleep 60", "no answer within its time limit", true)};
}

std::vector<RewardSample> batch(const std::string& prompt) {
  const auto sample = [&](const std::string& response) {
    return RewardSample{.task = "text", .prompt = prompt, .response = response, .image = {}, .answer = ""};
  };
  return {sample("abc"), sample("abcde")};  // the rewards answer with 3 and 5
}

RewardSet judge_with(const Json& reward, const std::string& policy, const Json& more = Json::object()) {
  Json judge = {{"name", "judge"}, {"on_failure", policy}, {"reward", reward}};
  judge.update(more);
  return {{judge, {{"name", "form"}, {"reward", {{"type", "format"}}}}}, "run.json", "rewards"};
}

const Scores kJudged = {3.0, 5.0};

void check_message(const std::string& found, const Mistake& mistake) {
  CHECK_THAT(found, Catch::StartsWith("reward judge: ") && Catch::Contains(mistake.message));
  CHECK(found.find('\n') == std::string::npos);
}

/// Judges a batch on which the mistake is made.
void check_failure(RewardSet& set, const Mistake& mistake, const std::string& policy) {
  if (policy == "stop" && !mistake.message.empty()) {
    std::string found = "nothing thrown";
    try {
      set.score(batch("fail"));
    } catch (const RewardFailure& failure) {
      found = failure.what();
    }
    return check_message(found, mistake);
  }
  const RewardTotals totals = set.score(batch("fail"));
  if (mistake.message.empty()) {
    CHECK(totals.failures.empty());
    CHECK((totals.parts[0].scores == kJudged));
    return;
  }
  REQUIRE(totals.failures.size() == 1);
  check_message(totals.failures[0], mistake);
  const std::optional<double> given = policy == "zero" ? std::optional(0.0) : std::nullopt;
  CHECK((totals.parts[0].scores == Scores{given, given}));
  CHECK((totals.total == Scores{0.0, 0.0}));  // the other reward's opinion
}

void check_policy(const std::vector<Mistake>& mistakes, const std::string& policy) {
  for (const Mistake& mistake : mistakes) {
    INFO(mistake.name << ", " << policy);
    RewardSet set = judge_with(mistake.reward, policy, {{"give_up_after", 0}});
    const int rounds = kFull ? 50 : mistake.hangs && policy != "abstain" ? 1 : 2;
    for (int round = 0; round < rounds; ++round) {
      if (!mistake.hangs) CHECK((set.score(batch("judge")).parts[0].scores == kJudged));
      check_failure(set, mistake, policy);
    }
  }
}

}  // namespace

TEST_CASE("a program or plugin that fails abstains, is named, and judges the next batch") {
  check_policy(mistakes(), "abstain");
}
TEST_CASE("a program or plugin that fails gives 0 where it is told so") { check_policy(mistakes(), "zero"); }
#ifndef __SANITIZE_ADDRESS__  // whose shadow alone is beyond any limit
TEST_CASE("a plugin that takes all memory meets its limit, is named, and judges the next batch") {
  Mistake mistake = of_plugin("allocate", "it says \"std::bad_alloc\"");
  mistake.reward["memory_limit_gb"] = 2;
  for (const char* policy : {"abstain", "zero", "stop"}) check_policy({mistake}, policy);
}
#endif
TEST_CASE(
    "a program or plugin that fails stops the run where it is told so, and would judge the next batch") {
  check_policy(mistakes(), "stop");
}
TEST_CASE("a server that fails abstains, gives 0 or stops, is named, and judges the next batch") {
  const HttpStub stub;
  for (const char* policy : {"abstain", "zero", "stop"}) check_policy(mistakes_of_servers(stub), policy);
}

TEST_CASE(
    "a reward that keeps failing stops the run whatever its policy, a success between starts the count "
    "anew") {
  const Mistake mistake = of_plugin("throw", "no model");
  const Json list = {{{"name", "judge"}, {"give_up_after", 3}, {"reward", mistake.reward}}};
  RewardSet set(list, "run.json", "rewards");
  for (int i = 0; i < 2; ++i) CHECK(set.score(batch("fail")).failures.size() == 1);
  CHECK(set.score(batch("judge")).failures.empty());
  for (int i = 0; i < 2; ++i) CHECK(set.score(batch("fail")).failures.size() == 1);
  CHECK_THROWS_WITH(set.score(batch("fail")),
                    Catch::StartsWith("reward judge: it says \"no model\"; found 3 failures"));
}

TEST_CASE("a reward gives up after ten failures unless told otherwise, and never where told so") {
  const Json broken = {{"type", "process"}, {"command", {"/no/such/program"}}};
  RewardSet standard = judge_with(broken, "abstain");
  for (int i = 0; i < 9; ++i) standard.score(batch("fail"));
  CHECK_THROWS_WITH(standard.score(batch("fail")), Catch::Contains("found 10 failures in a row"));
  const Json list = {{{"name", "judge"}, {"give_up_after", 0}, {"reward", broken}}};
  RewardSet patient(list, "run.json", "rewards");
  for (int i = 0; i < 30; ++i) CHECK(patient.score(batch("fail")).failures.size() == 1);
}
