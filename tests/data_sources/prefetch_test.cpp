// SPDX-License-Identifier: MIT
#include "mmada/data/prefetch.h"

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "mmada/core/rng.h"
#include "mmada/data/source.h"
#include "tests/formats/expect_error.h"

using namespace mmada;
using mmada::testing::expect_error;

namespace {

struct Counters {
  std::atomic<int> running{0}, most{0}, made{0}, skipped{0}, failed{0};
};

/// Sample i has the text "i". Those of `over` are passed over, those of `bad` fail; making one takes a while.
class NumberSource final : public SampleSource {
 public:
  std::set<int64_t> over, bad;
  int64_t end = INT64_MAX;  ///< the source itself fails here
  explicit NumberSource(Counters& counters) : counters_(counters) {}

  Sample next() override {
    while (true) {
      const auto before = index_;
      try {
        if (auto sample = defer()()) return *sample;
      } catch (const Error&) {
        index_ = before;
        throw;
      }
    }
  }
  PendingSample defer() override {
    counters_.failed += index_ >= end;
    MMADA_CHECK(index_ < end, "no sample ", index_);
    return [this, i = index_++] { return make(i); };
  }
  void skip(int64_t count) override {
    counters_.skipped += static_cast<int>(count);
    for (int64_t i = 0; i < count; ++index_) i += !over.contains(index_);
  }
  Json state() const override { return {{"index", index_}}; }
  void restore(const Json& state) override { index_ = state.at("index"); }
  Json skipped() const override { return {{"begun", index_}}; }

 private:
  std::optional<Sample> make(int64_t i) const {
    const int running = ++counters_.running;
    for (int most = counters_.most; running > most && !counters_.most.compare_exchange_weak(most, running);) {
    }
    std::this_thread::sleep_for(
        std::chrono::microseconds(Rng(1, "sleep", static_cast<uint64_t>(i)).below(400)));
    --counters_.running;
    ++counters_.made;
    MMADA_CHECK(!bad.contains(i), "bad sample ", i);
    if (over.contains(i)) return std::nullopt;
    return Sample{std::to_string(i), {}};
  }

  Counters& counters_;
  int64_t index_ = 0;
};

struct Made {
  std::unique_ptr<Counters> counters = std::make_unique<Counters>();
  std::unique_ptr<SampleSource> plain, ahead;
};
Made made(std::set<int64_t> over = {}, std::set<int64_t> bad = {}, int64_t end = INT64_MAX) {
  Made made;
  for (auto* source : {&made.plain, &made.ahead}) {
    auto numbers = std::make_unique<NumberSource>(*made.counters);
    numbers->over = over;
    numbers->bad = bad;
    numbers->end = end;
    *source = std::move(numbers);
  }
  made.ahead = make_prefetch_source(std::move(made.ahead), 3, 8);
  return made;
}

}  // namespace

TEST_CASE("samples read ahead come in the source's order with the source's states") {
  auto both = made({0, 5, 6, 40});
  CHECK(both.ahead->state() == both.plain->state());
  for (int i = 0; i < 300; ++i) {
    CHECK(both.ahead->next().text == both.plain->next().text);
    CHECK(both.ahead->state() == both.plain->state());
  }
}

TEST_CASE("several samples are made at a time, and no more are made than fit ahead") {
  auto both = made();
  for (int i = 0; i < 100; ++i) both.ahead->next();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(both.counters->most > 1);
  CHECK(both.counters->most <= 3);
  CHECK(both.counters->made == 108);
}

TEST_CASE("an error comes out at its sample, every time, and the state stays before it") {
  auto both = made({}, {20});
  for (int i = 0; i < 20; ++i) CHECK(both.ahead->next().text == std::to_string(i));
  for (int i = 0; i < 2; ++i) expect_error([&] { both.ahead->next(); }, {"bad sample 20"});
  CHECK(both.ahead->state() == Json{{"index", 20}});
  both.ahead->skip(1);
  CHECK(both.ahead->next().text == "21");
  auto ending = made({}, {}, 10);
  for (int i = 0; i < 10; ++i) ending.ahead->next();
  for (int i = 0; i < 2; ++i) expect_error([&] { ending.ahead->next(); }, {"no sample 10"});
  CHECK(ending.counters->failed == 1);  // nothing is tried behind it
  ending.ahead->restore({{"index", 4}});
  CHECK(ending.ahead->next().text == "4");
}

TEST_CASE("any mix of drawing, skipping and restoring gives what the source alone gives") {
  auto both = made({3, 7, 50, 51, 52});
  Rng rng(2, "actions");
  for (int i = 0; i < 400; ++i) {
    const auto action = rng.below(10);
    if (action < 6) CHECK(both.ahead->next().text == both.plain->next().text);
    if (action == 6 || action == 7) {
      const auto count = static_cast<int64_t>(rng.below(5));
      both.ahead->skip(count);
      both.plain->skip(count);
    }
    if (action == 8) {
      const Json state = {{"index", rng.below(60)}};
      both.ahead->restore(state);
      both.plain->restore(state);
    }
    CHECK(both.ahead->state() == both.plain->state());
  }
}

TEST_CASE("a process among eight is read ahead for, and samples of the others are not made") {
  auto both = made({30});
  for (int i = 0; i < 60; ++i) {
    CHECK(both.ahead->next().text == both.plain->next().text);
    both.ahead->skip(7);
    both.plain->skip(7);
    CHECK(both.ahead->state() == both.plain->state());
  }
  CHECK(both.counters->made < 60 + 60 + 8 + 8 + 8);  // two sources; a start, one shift, and what is ahead
}

TEST_CASE("what was left out is told at once while read-ahead waits for room, and once a source has failed") {
  for (const int64_t end : {INT64_MAX, int64_t{5}}) {
    auto both = made({}, {}, end);
    both.ahead->next();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(both.ahead->skipped() == Json{{"begun", std::min<int64_t>(end, 9)}});  // hung for ever once
  }
}

TEST_CASE("a source that was never drawn from, or is in the middle of its work, ends cleanly") {
  { auto both = made(); }
  for (int i = 0; i < 20; ++i) {
    auto both = made();
    for (int k = 0; k < i; ++k) both.ahead->next();
  }
}

TEST_CASE("workers are an option of every source and change nothing but the time") {
  const Json shapes = {{"type", "mixture"},
                       {"sources",
                        {{{"weight", 3}, {"source", {{"type", "shapes"}, {"task", "arithmetic"}}}},
                         {{"weight", 1}, {"source", {{"type", "shapes"}, {"task", "caption"}}}}}}};
  Json ahead = shapes;
  ahead["workers"] = 2;
  ahead["prefetch"] = 5;
  auto alone = make_source(shapes, "test", 6), workers = make_source(ahead, "test", 6);
  for (int i = 0; i < 60; ++i) {
    const Sample one = alone->next(), other = workers->next();
    CHECK(one.text == other.text);
    CHECK(one.image.pixels == other.image.pixels);
    CHECK(alone->state() == workers->state());
  }
  alone->skip(11);
  workers->skip(11);
  CHECK(alone->next().text == workers->next().text);
  ahead["workers"] = -1;
  expect_error([&] { make_source(ahead, "test", 6); }, {"`workers`", "expected"});
}
