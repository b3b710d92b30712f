// SPDX-License-Identifier: MIT
// Workers are small shell programs that speak over descriptor 3.
#include "mmada/rewards/process_reward.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

namespace {

using namespace mmada;
using std::chrono::milliseconds;

const std::vector<RewardSample> kTwo = {
    {.task = "text", .prompt = "1+1", .response = "line\n\"two\" \xE2\x82\xAC", .image = {}, .answer = "2"},
    {.task = "mmu",
     .prompt = "2+2",
     .response = "4",
     .image = {},
     .answer = "4",
     .shown = Image{.width = 1, .height = 1, .channels = 3, .pixels = {1, 2, 3}}}};

/// A worker that greets and runs this for each line it reads into $line.
ProcessReward worker(const std::string& body, milliseconds timeout = std::chrono::seconds(20)) {
  return ProcessReward(
      {.command = {"/bin/sh", "-c",
                   "echo '{\"protocol\": 1}' >&3; n=0; while read -r line <&3; do n=$((n+1)); " + body +
                       "; done"},
       .startup = std::chrono::seconds(20),
       .timeout = timeout});
}

std::string failure_of(ProcessReward& reward) {
  try {
    reward.score(kTwo);
  } catch (const RewardFailure& failure) {
    return failure.what();
  }
  return "none";
}

const std::string kRight = "printf '{\"id\": %d, \"scores\": [0.5, null]}\\n' $n >&3";

}  // namespace

TEST_CASE("a worker gets samples as JSON lines on its own descriptor and answers with scores or null") {
  const std::string path = std::string(MMADA_TEST_TMP) + "/request-" + std::to_string(getpid());
  std::filesystem::create_directories(MMADA_TEST_TMP);
  ProcessReward reward = worker("printf '%s\\n' \"$line\" >> " + path + "; " + kRight);
  CHECK((reward.score(kTwo) == Scores{0.5, {}}));
  CHECK((reward.score(kTwo) == Scores{0.5, {}}));
  std::ifstream file(path);
  std::string line;
  for (int64_t id = 1; id <= 2; ++id) {
    REQUIRE(std::getline(file, line));
    const Json request = parse_json(line, "request");
    CHECK(request["id"] == id);
    CHECK(request["samples"].size() == 2);
    CHECK(request["samples"][0]["response"] == kTwo[0].response);
    CHECK(request["samples"][0]["image"].is_null());
    CHECK(request["samples"][0]["shown"].is_null());
    CHECK(request["samples"][1]["shown"].get<std::string>().starts_with("iVBOR"));  // a PNG in base64
  }
  std::filesystem::remove(path);
}

TEST_CASE("a worker has the address space that it was given, else as much as this process") {
  const auto space = [](uint64_t most) {  // in KiB, by the shell's own word
    ProcessReward reward({.command = {"/bin/sh", "-c",
                                      "echo '{\"protocol\": 1}' >&3; read -r line <&3; "
                                      "printf '{\"id\": 1, \"scores\": [%s, 0]}\\n' "
                                      "$(ulimit -v | sed s/unlimited/-1/) >&3; read -r line <&3"},
                          .most_memory = most});
    return *reward.score(kTwo)[0];
  };
  CHECK(space(uint64_t{3} << 30) == 3 << 20);
  CHECK(space(0) == -1);
}

TEST_CASE("what a worker prints does not disturb its answers") {
  ProcessReward reward = worker("echo noise; echo noise >&2; " + kRight);
  CHECK((reward.score(kTwo) == Scores{0.5, {}}));
}

TEST_CASE("each way to fail is said, and the next batch meets a new worker") {
  const auto fails = [](const std::string& body, const std::string& expected,
                        milliseconds timeout = std::chrono::seconds(20)) {
    INFO(body);
    ProcessReward reward = worker(body, timeout);
    CHECK_THAT(failure_of(reward), Catch::Contains(expected));
    CHECK_THAT(failure_of(reward), Catch::Contains(expected));  // it was started again and fails alike
  };
  fails("exit 3", "ended with status 3");
  fails("kill -SEGV $$", "ended by signal 11");
  fails("sleep 60", "no answer within its time limit", milliseconds(300));
  fails("echo nonsense >&3", "found \"nonsense\", expected a line of JSON");
  fails("printf '{\"id\": 1, \"scores\": [NaN, 1]}\\n' >&3", "expected a line of JSON");
  fails("printf '{\"id\": 1, \"scores\": [1e999, 1]}\\n' >&3", "expected a line of JSON");
  fails("printf '{\"id\": %d, \"scores\": [1]}\\n' $n >&3", "found 1 scores, expected 2");
  fails("printf '{\"id\": %d, \"scores\": [1, \"x\"]}\\n' $n >&3", "scores that are numbers or null");
  fails("printf '{\"id\": 77, \"scores\": [1, 1]}\\n' >&3", "expected an object with id");
  fails("printf '{\"id\": %d, \"error\": \"no model\"}\\n' $n >&3", "it says \"no model\"");
  fails("exec 3>&- 3<&-; sleep 60", "closed its descriptor");
}

TEST_CASE("a worker that recovers is asked again") {
  const std::string flag = std::string(MMADA_TEST_TMP) + "/flag-" + std::to_string(getpid());
  std::filesystem::create_directories(MMADA_TEST_TMP);
  std::ofstream(flag) << "";
  ProcessReward reward = worker("if [ -e " + flag + " ]; then rm " + flag +
                                "; exit 1; fi; printf '{\"id\": %d, \"scores\": [1, 1]}\\n' $n >&3");
  CHECK_THAT(failure_of(reward), Catch::Contains("status 1"));
  CHECK((reward.score(kTwo) == Scores{1.0, 1.0}));
}

TEST_CASE("a program that is missing, does not greet, or greets otherwise is a failure") {
  ProcessReward missing({.command = {"/no/such/program"}});
  CHECK_THAT(failure_of(missing), Catch::Contains("cannot be started: /no/such/program"));
  ProcessReward silent({.command = {"/bin/sleep", "60"}, .startup = milliseconds(300)});
  CHECK_THAT(failure_of(silent), Catch::Contains("no answer within its time limit"));
  ProcessReward other({.command = {"/bin/sh", "-c", "echo '{\"protocol\": 2}' >&3; sleep 60"},
                       .startup = std::chrono::seconds(20)});
  CHECK_THAT(failure_of(other), Catch::Contains("expected {\"protocol\": 1}"));
}

TEST_CASE("a worker and what it started are gone with the reward") {
  pid_t pid = 0;
  {
    WorkerProcess process({"/bin/sh", "-c", "sleep 60 & echo $! >&3; wait"});
    pid = static_cast<pid_t>(
        std::stol(process.receive(WorkerProcess::Clock::now() + std::chrono::seconds(20), 100)));
    CHECK(kill(pid, 0) == 0);
  }
  for (int i = 0; i < 2000 && kill(pid, 0) == 0; ++i) usleep(5000);  // whoever adopts it has to reap it
  std::ifstream status("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(status, text);
  CHECK((text.empty() || text.find(") Z") != std::string::npos));
}

TEST_CASE("more than a pipe holds goes through in both directions") {
  ProcessReward reward = worker(
      "printf '{\"id\": %d, \"note\": \"%s\", \"scores\": [1, 2]}\\n' $n \"$line\" | tr -d '\\\\\\\\' | sed "
      "'s/\"note\": .*\"scores\": \\[1/\"scores\": [1/' >&3");
  std::vector<RewardSample> samples = kTwo;
  samples[0].response = std::string(3 << 20, 'x');
  CHECK((reward.score(samples) == Scores{1.0, 2.0}));
}

TEST_CASE("workers side by side share a batch in order, and one that fails fails it") {
  // each scores the number of samples it got
  const std::string count =
      "c=$(printf %s \"$line\" | grep -o '\"task\"' | wc -l); s=$c; i=1; "
      "while [ $i -lt $c ]; do s=\"$s, $c\"; i=$((i+1)); done; case $line in *fail*) exit 3 ;; esac; "
      "printf '{\"id\": %d, \"scores\": [%s]}\\n' $n \"$s\" >&3";
  const auto reward = make_worker_reward(
      {.command = {"/bin/sh", "-c",
                   "echo '{\"protocol\": 1}' >&3; n=0; while read -r line <&3; do n=$((n+1)); " + count +
                       "; done"},
       .workers = 3});
  std::vector<RewardSample> samples(7, kTwo[1]);
  CHECK((reward->score(samples) == Scores{3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.0}));
  CHECK((reward->score(std::span(samples).first(1)) == Scores{1.0}));
  CHECK(reward->score({}).empty());
  samples[4].prompt = "fail";
  CHECK_THROWS_WITH(reward->score(samples), Catch::Contains("status 3"));
  samples[4].prompt = "judge";
  CHECK(reward->score(samples).size() == 7);
}
