// SPDX-License-Identifier: MIT
#include "mmada/data/prefetch.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace mmada {
namespace {

/// A sample on its way, or a step over `skip` samples.
struct Slot {
  int64_t skip = 0;
  PendingSample work;
  Json after;  ///< state of the source behind it
  bool ready = false;
  std::optional<Sample> sample;  ///< none where it was passed over
  std::exception_ptr error;
};

/// The source, rhythm_ and skip_next_ belong to the thread that took them (taken_), the rest is guarded by
/// mutex_. Nobody waits for room with the source taken: who asks about it would wait as long as nobody draws.
class PrefetchSource final : public SampleSource {
 public:
  PrefetchSource(std::unique_ptr<SampleSource> source, int64_t workers, int64_t ahead)
      : source_(std::move(source)),
        workers_(workers),
        ahead_(static_cast<size_t>(ahead)),
        position_(source_->state()) {}

  ~PrefetchSource() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    room_.notify_all();
    for (auto& thread : threads_) thread.join();
  }

  Sample next() override {
    while (static_cast<int64_t>(threads_.size()) < workers_) threads_.emplace_back([this] { work(); });
    bool passed_over = false;
    while (true) {
      const auto slot = front();
      if (slot->skip > 0) {  // read ahead for a rhythm that is over, or that a sample passed over has shifted
        begin_anew(state(), 0, passed_over ? slot->skip : 0);
        continue;
      }
      if (slot->error) std::rethrow_exception(slot->error);
      pop();
      if (slot->sample) return std::move(*slot->sample);
      passed_over = true;
    }
  }

  void skip(int64_t count) override {
    if (count == 0) return;
    if (!threads_.empty()) {
      const auto slot = front();
      if (slot->skip == count && slot->error) std::rethrow_exception(slot->error);
      if (slot->skip == count) return pop();
    }
    begin_anew(state(), count, count);
  }

  Json skipped() const override {
    const Taken taken(*this);
    return source_->skipped();
  }

  Json state() const override {
    const std::lock_guard lock(mutex_);
    return position_;
  }

  void restore(const Json& state) override { begin_anew(state, 0, 0); }

 private:
  /// The source to oneself: workers take nothing from it meanwhile.
  class Taken {
   public:
    explicit Taken(const PrefetchSource& of) : of_(of) {
      std::unique_lock lock(of_.mutex_);
      of_.wanted_ = true;
      of_.given_back_.wait(lock, [&] { return !of_.taken_; });
      of_.wanted_ = false;
      of_.taken_ = true;
    }
    ~Taken() {
      {
        const std::lock_guard lock(of_.mutex_);
        of_.taken_ = false;
      }
      of_.room_.notify_all();
    }
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;

   private:
    const PrefetchSource& of_;
  };

  /// The next slot, once it is ready.
  std::shared_ptr<Slot> front() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return !queue_.empty() && queue_.front()->ready; });
    return queue_.front();
  }

  void pop() {
    const std::lock_guard lock(mutex_);
    position_ = std::move(queue_.front()->after);
    queue_.pop_front();
    room_.notify_one();
  }

  /// Forgets what was read ahead and goes on `count` samples behind `state`.
  void begin_anew(const Json& state, int64_t count, int64_t rhythm) {
    const Taken taken(*this);
    const auto failure = std::make_shared<Slot>();
    Json position = state;
    try {
      source_->restore(state);
      if (count > 0) source_->skip(count);
      position = source_->state();
    } catch (...) {
      failure->error = std::current_exception();
      failure->ready = true;
    }
    rhythm_ = rhythm;
    skip_next_ = false;
    const std::lock_guard lock(mutex_);
    queue_.clear();
    position_ = std::move(position);
    failed_ = failure->error != nullptr;
    if (failed_) queue_.push_back(failure);
    if (failed_) std::rethrow_exception(failure->error);
  }

  void work() {
    while (const auto slot = take()) {
      try {
        if (slot->work) slot->sample = slot->work();
      } catch (...) {
        slot->error = std::current_exception();
      }
      slot->work = nullptr;
      const std::lock_guard lock(mutex_);
      slot->ready = true;
      ready_.notify_all();
    }
  }

  /// Takes one piece of work from the source, in order; nothing when all ends.
  std::shared_ptr<Slot> take() {
    std::unique_lock lock(mutex_);
    room_.wait(lock,
               [&] { return stopping_ || (!taken_ && !wanted_ && !failed_ && queue_.size() < ahead_); });
    if (stopping_) return nullptr;
    taken_ = true;
    lock.unlock();
    const auto slot = read();
    lock.lock();
    taken_ = false;
    failed_ = slot->error != nullptr;  // nothing can be read behind it
    queue_.push_back(slot);
    lock.unlock();
    room_.notify_one();
    given_back_.notify_one();
    return slot;
  }

  std::shared_ptr<Slot> read() {
    const auto slot = std::make_shared<Slot>();
    try {
      slot->skip = skip_next_ ? rhythm_ : 0;
      if (skip_next_)
        source_->skip(rhythm_);
      else
        slot->work = source_->defer();
      slot->after = source_->state();
      skip_next_ = !skip_next_ && rhythm_ > 0;
    } catch (...) {
      slot->error = std::current_exception();
    }
    return slot;
  }

  std::unique_ptr<SampleSource> source_;
  int64_t rhythm_ = 0;      ///< samples passed over after each
  bool skip_next_ = false;  ///< whether the next slot passes over them

  mutable std::mutex mutex_;
  mutable std::condition_variable room_, ready_, given_back_;
  mutable bool taken_ = false, wanted_ = false;
  const int64_t workers_;
  const size_t ahead_;
  std::deque<std::shared_ptr<Slot>> queue_;
  Json position_;  ///< state of the source before the queue's first
  bool stopping_ = false, failed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<SampleSource> make_prefetch_source(std::unique_ptr<SampleSource> source, int64_t workers,
                                                   int64_t ahead) {
  return std::make_unique<PrefetchSource>(std::move(source), workers, ahead);
}

}  // namespace mmada
