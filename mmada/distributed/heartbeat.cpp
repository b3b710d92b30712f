// SPDX-License-Identifier: MIT
#include "mmada/distributed/heartbeat.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/distributed/store.h"

namespace mmada {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kBeatsPerLimit = 5;
constexpr auto kFirstMeeting = std::chrono::seconds(300);

std::chrono::milliseconds since(Clock::time_point then) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - then);
}

}  // namespace

/// One thread talks to the store and may be held up in it for good, where the process that serves it stands
/// still; another one only looks at the clock.
struct Heartbeat::State {
  State(const ProcessEnvironment& environment, const Options& with)
      : options(with),
        pause(with.limit / kBeatsPerLimit),
        rank(environment.rank),
        store(connect_store(environment, "beats", kFirstMeeting, /*serve=*/false)),
        seen(environment.world_size),
        changed(environment.world_size, Clock::now()) {
    for (int other = 0; other < environment.world_size; ++other) keys.push_back(cat("of/", other));
    exchange();  // until everybody is there
  }

  /// Shows a sign of life and looks for the others'.
  void exchange() {
    store->set(keys[rank], std::to_string(++beats));
    const auto values = store->multiGet(keys);
    const std::lock_guard lock(mutex);
    for (size_t other = 0; other < values.size(); ++other) {
      if (values[other] == seen[other]) continue;
      seen[other] = values[other];
      changed[other] = Clock::now();
    }
    answered = Clock::now();
  }

  void talk() {
    while (!ends_within(pause)) {
      try {
        exchange();
      } catch (const std::exception&) {
        return;  // the store is gone, and with it who served it
      }
    }
  }

  void watch() {
    auto awake = Clock::now();
    while (!ends_within(pause)) {
      const std::unique_lock lock(mutex);
      // was it this process that stood still? then it has heard of nobody in the meantime
      if (since(awake) > options.limit / 2) {
        std::fill(changed.begin(), changed.end(), Clock::now());
        answered = Clock::now();
      }
      awake = Clock::now();
      constexpr int kServer = 0;
      const auto oldest = std::min_element(changed.begin(), changed.end());
      if (since(answered) > options.limit)
        options.lost(kServer, since(answered));
      else if (answered - *oldest >
               options.limit)  // up to the last answer: the store itself may be out of reach
        options.lost(static_cast<int>(oldest - changed.begin()), since(*oldest));
      else
        continue;
      return;
    }
  }

  bool ends_within(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex);
    return closed.wait_for(lock, time, [&] { return closing; });
  }

  Options options;
  std::chrono::milliseconds pause;
  int rank;
  StorePtr store;
  std::vector<std::string> keys;
  int64_t beats = 0;
  std::mutex mutex;  // of all below
  std::vector<std::vector<uint8_t>> seen;
  std::vector<Clock::time_point> changed;
  Clock::time_point answered = Clock::now();
  std::condition_variable closed;
  bool closing = false;
  std::thread talking, watching;
};

Heartbeat::Heartbeat(const ProcessEnvironment& environment, const Options& options)
    : state_(std::make_unique<State>(environment, options)) {
  state_->talking = std::thread([state = state_.get()] { state->talk(); });
  state_->watching = std::thread([state = state_.get()] { state->watch(); });
}

Heartbeat::~Heartbeat() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->closing = true;
  }
  state_->closed.notify_all();
  state_->watching.join();
  state_->talking.join();
}

}  // namespace mmada
