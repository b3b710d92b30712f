// SPDX-License-Identifier: MIT
// A plugin that does what its configuration says, {"do": "..."}, once the batch's first prompt is "fail";
// else it gives each sample the length of its response.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <list>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "mmada/rewards/plugin.h"

namespace {

using mmada::plugin::Sample;
using mmada::plugin::Scores;

void write_much(int descriptor) {
  const std::string line(1023, 'x');
  for (int i = 0; i < 2048; ++i) dprintf(descriptor, "%s\n", line.c_str());
}

/// With a program of its own, whose number is printed.
void hang() {
  const pid_t child = fork();
  if (child != 0) std::fprintf(stderr, "child %d\n", child);
  for (;;) pause();
}

void take_all_memory() {
  for (std::list<std::string> taken;;) taken.emplace_back(size_t{64} << 20, 'x');
}

int recurse(int depth) {
  volatile char frame[4096] = {};
  if (frame[depth % 4096] != 0) return 0;
  return recurse(depth + 1) + frame[depth % 4096];
}

void deadlock() {
  std::mutex first, second;
  std::barrier met(2);
  const auto take = [&](std::mutex& own, std::mutex& other) {
    const std::lock_guard lock(own);
    met.arrive_and_wait();
    const std::lock_guard never(other);
  };
  std::thread beside([&] { take(first, second); });
  take(second, first);
  beside.join();
}

class Bad : public mmada::plugin::Reward {
 public:
  explicit Bad(std::string_view config) : do_(nlohmann::json::parse(config).value("do", "nothing")) {
    if (do_ == "no start") throw std::runtime_error("there is no model");
  }

  Scores score(const std::vector<Sample>& samples) override {
    Scores scores;
    for (const Sample& sample : samples) scores.emplace_back(static_cast<double>(sample.response.size()));
    if (samples[0].prompt == "fail") misbehave(scores);
    return scores;
  }

 private:
  void misbehave(Scores& scores) {
    if (do_ == "throw") throw std::runtime_error("no model");
    if (do_ == "throw 7") throw 7;
    if (do_ == "crash") signal(SIGSEGV, SIG_DFL), raise(SIGSEGV);  // a sanitizer's handler would exit
    if (do_ == "abort") std::abort();
    if (do_ == "exit") std::exit(3);
    if (do_ == "hang") hang();
    if (do_ == "stop") raise(SIGSTOP);
    if (do_ == "allocate") take_all_memory();
    if (do_ == "recurse") signal(SIGSEGV, SIG_DFL), std::printf("%d\n", recurse(1));
    if (do_ == "deadlock") deadlock();
    if (do_ == "spin")
      for (std::atomic<int> i = 0;; ++i) continue;
    if (do_ == "nan") scores[0] = std::nan("");
    if (do_ == "infinity") scores[0] = INFINITY;
    if (do_ == "huge") scores[0] = 1e308;
    if (do_ == "count") scores.pop_back();
    if (do_ == "stdout") write_much(STDOUT_FILENO);
    if (do_ == "stderr") write_much(STDERR_FILENO);
    if (do_ == "close 3") close(3);
    if (do_ == "close all")
      for (int descriptor = 0; descriptor < 1024; ++descriptor) close(descriptor);
  }

  std::string do_;
};

}  // namespace

MMADA_REWARD_PLUGIN(Bad);
