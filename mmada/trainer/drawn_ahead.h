// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <string>
#include <utility>

#include "mmada/core/check.h"

namespace mmada {

/// Batches that are drawn beside the training: taking one begins with the next, in another thread. It shows
/// nowhere as long as a batch is a function of its number and of the source's position, and an error comes
/// out where its batch is taken.
template <class Batch>
class DrawnAhead {
 public:
  /// `what` the batches are of and which `unit` they are numbered by, for messages. Nothing is drawn ahead
  /// from number `count` on.
  DrawnAhead(std::string what, std::string unit, std::function<Batch(int64_t number)> draw, int64_t count)
      : what_(std::move(what)), unit_(std::move(unit)), draw_(std::move(draw)), count_(count) {}
  DrawnAhead(const DrawnAhead&) = delete;
  DrawnAhead& operator=(const DrawnAhead&) = delete;

  /// Numbers come in their order. `drawn` is called once the batch is there and nothing is drawn, to look at
  /// the source's position behind it.
  Batch take(int64_t number, const std::function<void()>& drawn) {
    if (!drawn_.valid()) begin(number);
    MMADA_CHECK(ahead_ == number, "training: found the ", what_, " of ", unit_, " ", ahead_,
                " drawn, expected those of ", unit_, " ", number);
    Batch batch = drawn_.get();
    drawn();
    if (number + 1 < count_) begin(number + 1);
    return batch;
  }
  /// Until nothing is drawn.
  void wait() const {
    if (drawn_.valid()) drawn_.wait();
  }
  /// The next batch is drawn anew, from wherever the source is put by then.
  void forget() {
    wait();
    drawn_ = {};
  }

 private:
  void begin(int64_t number) {
    drawn_ = std::async(std::launch::async, [this, number] { return draw_(number); });
    ahead_ = number;
  }

  std::string what_, unit_;
  std::function<Batch(int64_t)> draw_;
  int64_t count_, ahead_ = -1;
  std::future<Batch> drawn_;  ///< last, as its end waits for the thread
};

}  // namespace mmada
