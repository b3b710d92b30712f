// SPDX-License-Identifier: MIT
#include "mmada/core/thread_stack.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <future>
#include <thread>

using namespace mmada;

/// Exported, so that it has a name; what it reads never comes until the pipe is closed.
extern "C" __attribute__((noinline)) ssize_t waits_for_a_byte(int descriptor, std::atomic<bool>* waits) {
  char byte = 0;
  *waits = true;
  const ssize_t got = ::read(descriptor, &byte, 1);
  *waits = false;
  return got;
}

TEST_CASE("a thread that waits is asked where, again and again, and goes on waiting") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  std::promise<WatchedThread> made;
  std::atomic<bool> waits = false;
  ssize_t got = -1;
  std::thread thread([&] {
    made.set_value(WatchedThread());
    got = waits_for_a_byte(ends[0], &waits);
  });
  const WatchedThread watched = made.get_future().get();
  while (!waits) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // from "waits" into read()
  for (int i = 0; i < 3; ++i) {
    const auto stack = watched.stack(std::chrono::seconds(5));
    const auto place = [&](const std::string& name) {
      return std::ranges::find_if(stack,
                                  [&](const auto& line) { return line.find(name) != std::string::npos; });
    };
    for (const auto& line : stack) INFO(line);
    REQUIRE(place("waits_for_a_byte") != stack.end());
    CHECK(place("read") < place("waits_for_a_byte"));  // innermost first
    CHECK(place("thread_stack_test") != stack.end());
    CHECK(stack.front().find("capture") == std::string::npos);
  }
  CHECK(waits);
  REQUIRE(::write(ends[1], "x", 1) == 1);
  thread.join();
  CHECK(got == 1);
}

TEST_CASE("a thread that does not take signals is said not to answer") {
  std::promise<WatchedThread> made;
  std::promise<void> end;
  std::thread thread([&] {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    made.set_value(WatchedThread());
    end.get_future().wait();
  });
  const auto stack = made.get_future().get().stack(std::chrono::milliseconds(30));
  CHECK(stack == std::vector<std::string>{"the thread did not answer within 30 ms"});
  end.set_value();
  thread.join();
}
