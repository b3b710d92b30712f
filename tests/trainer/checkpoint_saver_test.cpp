// SPDX-License-Identifier: MIT
#include "mmada/trainer/checkpoint_saver.h"

#include <ATen/ATen.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

#include "mmada/core/check.h"
#include "mmada/formats/atomic_file.h"
#include "tests/distributed/ranks.h"

namespace {

namespace fs = std::filesystem;
using namespace mmada;
using Saver = CheckpointSaver;

fs::path fresh_run(const std::string& name) {
  const fs::path run = fs::path(MMADA_TEST_TMP) / ("saver_" + name);
  fs::remove_all(run);
  return run;
}

Saver in_background(const fs::path& run, const Group& group = {}) {
  return Saver({.run_directory = run.string(), .total_limit = 2, .in_background = true}, group);
}

/// One tensor, split evenly among the processes; `write` is done by the other thread.
CheckpointContents contents(
    int64_t step, const at::Tensor& tensor, const std::function<void()>& write = [] {},
    const Group& group = {}) {
  const int64_t elements = tensor.numel();
  return {.step = step,
          .tensors = {{"w", "master", tensor, {elements * group.size()}, elements * group.rank()}},
          .state = {{"step", step}},
          .save_model = [](const std::string&) { FAIL("the model is to be staged"); },
          .stage_model = [write](const std::string&) { return write; }};
}

at::Tensor loaded(const std::string& path, int64_t elements) {
  const at::Tensor tensor = at::zeros({elements});
  load_checkpoint(path, {{"w", "master", tensor, {elements}}});
  return tensor;
}

/// Lets the other thread wait until it is opened, for good.
class Gate {
 public:
  std::function<void()> wait() const {
    return [opened = opened_] { opened.wait(); };
  }
  void open() { promise_.set_value(); }

 private:
  std::promise<void> promise_;
  std::shared_future<void> opened_ = promise_.get_future().share();
};

/// As at the steps of a run, until the part of this process is no longer being written.
Saver::Progress progress_in_the_end(Saver& saver) {
  for (int i = 0; i < 20000 && saver.progress() == Saver::kBusy; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return saver.progress();
}

}  // namespace

TEST_CASE("a save in the background holds what the tensors were when it was asked for, 100 times of 100") {
  const fs::path run = fresh_run("snapshot");
  at::manual_seed(13);
  const at::Tensor weights = at::randn({50000});
  Saver saver = in_background(run);
  for (int64_t step = 1; step <= 100; ++step) {
    const at::Tensor before = weights.clone();
    saver.save(contents(step, weights));
    weights.normal_();  // at once, as the next step would
    saver.finish();
    REQUIRE(saver.latest() == checkpoint_path(run.string(), step));
    REQUIRE(at::equal(loaded(saver.latest(), 50000), before));
  }
  CHECK(list_checkpoints(run.string()).size() == 2);
}

TEST_CASE("a checkpoint shows only when all of it is written, and save() does not wait for that") {
  const fs::path run = fresh_run("commit");
  Saver saver = in_background(run);
  Gate gate;
  saver.save(contents(1, at::ones({8}), gate.wait()));
  CHECK(saver.progress() == Saver::kBusy);
  saver.advance(Saver::kBusy);
  CHECK((list_checkpoints(run.string()).empty() && saver.latest().empty()));
  gate.open();
  REQUIRE(progress_in_the_end(saver) == Saver::kReady);
  CHECK((list_checkpoints(run.string()).empty() && saver.latest().empty()));  // written, but not committed
  saver.advance(Saver::kReady);
  REQUIRE(progress_in_the_end(saver) == Saver::kReady);
  saver.advance(Saver::kReady);
  CHECK(saver.latest() == checkpoint_path(run.string(), 1));
  CHECK_FALSE(verify_checkpoint(saver.latest()).has_value());
}

TEST_CASE("the next save waits for the one before, and so does the end") {
  const fs::path run = fresh_run("order");
  Saver saver = in_background(run);
  Gate gate;
  saver.save(contents(1, at::ones({8}), gate.wait()));
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    gate.open();
  });
  saver.save(contents(2, at::ones({8})));
  CHECK_FALSE(verify_checkpoint(checkpoint_path(run.string(), 1)).has_value());
  opener.join();
  saver.finish();
  CHECK_FALSE(verify_checkpoint(checkpoint_path(run.string(), 2)).has_value());
}

TEST_CASE("what fails in the background is a SaveError at the next step, the checkpoint before stands") {
  const fs::path run = fresh_run("failing");
  Saver saver = in_background(run);
  saver.save(contents(1, at::ones({8})));
  saver.save(contents(2, at::ones({8}), [] { throw Error("disk on fire"); }));
  REQUIRE(progress_in_the_end(saver) == Saver::kFailed);
  CHECK_THROWS_WITH(saver.advance(Saver::kFailed), Catch::Contains("checkpoint-2: saving the checkpoint") &&
                                                       Catch::Contains("disk on fire"));
  CHECK(saver.latest() == checkpoint_path(run.string(), 1));
  CHECK_FALSE(fs::exists(run / ".tmp-checkpoint-2"));
  fs::create_directories(run / "checkpoint-3");  // a folder that is not empty cannot be replaced by rename()
  saver.save(contents(3, at::full({8}, 3.0)));
  saver.finish();
  CHECK(at::equal(loaded(saver.latest(), 8), at::full({8}, 3.0)));
  CheckpointContents infinite = contents(4, at::full({8}, 1.0 / 0.0));
  CHECK_THROWS_AS(saver.save(infinite), SaveError);
  CHECK_NOTHROW(saver.finish());
}

TEST_CASE("a saver that goes before the save is over leaves no checkpoint") {
  const fs::path run = fresh_run("dropped");
  in_background(run).save(contents(1, at::ones({8})));
  CHECK(list_checkpoints(run.string()).empty());
}

namespace {

constexpr const char* kSharedRun = "MMADA_TEST_SHARED_RUN";
fs::path shared_run() { return std::getenv(kSharedRun); }

int run_ranks_in(const fs::path& run, const std::string& tag, int processes) {
  return mmada::test::run_ranks(tag, processes, {{kSharedRun, run.string()}});
}

int64_t largest_progress(Saver& saver, const Group& group) {
  return group.largest({static_cast<int64_t>(saver.progress())}).front();
}

}  // namespace

TEST_CASE("a save in the background of every rank", "[.save]") {
  const Group group = mmada::test::connect();
  Saver saver = in_background(shared_run(), group);
  Gate gate;
  const auto slow = group.rank() == 1 ? gate.wait() : [] {};
  saver.save(contents(1, at::full({8}, static_cast<double>(group.rank())), slow, group));
  if (group.rank() != 1) progress_in_the_end(saver);
  group.barrier();
  for (int step = 0; step < 5; ++step) saver.advance(largest_progress(saver, group));
  CHECK(list_checkpoints(shared_run().string()).empty());  // rank 1 has not written its part
  group.barrier();
  gate.open();
  saver.finish();
  group.barrier();
  CHECK_FALSE(verify_checkpoint(checkpoint_path(shared_run().string(), 1)).has_value());
  CHECK(saver.latest() == checkpoint_path(shared_run().string(), 1));
}

TEST_CASE("among processes the checkpoint shows when the last has written its part") {
  const fs::path run = fresh_run("ranks");
  CHECK(run_ranks_in(run, "[.save]", 3) == 0);
  const at::Tensor whole = loaded(checkpoint_path(run.string(), 1), 24);
  for (int64_t rank = 0; rank < 3; ++rank)
    CHECK(at::equal(whole.slice(0, 8 * rank, 8 * rank + 8), at::full({8}, static_cast<double>(rank))));
}

TEST_CASE("a part that fails in one rank", "[.fail]") {
  const Group group = mmada::test::connect();
  Saver saver = in_background(shared_run(), group);
  const auto write = [&] {
    if (group.rank() == 1) throw Error("disk on fire");
  };
  saver.save(contents(1, at::ones({8}), write, group));
  CHECK_THROWS_WITH(saver.finish(), Catch::Contains(group.rank() == 1 ? "disk on fire" : "another process"));
  saver.save(contents(
      2, at::ones({8}), [] {}, group));
  saver.finish();
}

TEST_CASE("a part that fails in one process fails the save in all, and the next one is another try") {
  const fs::path run = fresh_run("ranks_fail");
  CHECK(run_ranks_in(run, "[.fail]", 2) == 0);
  REQUIRE(list_checkpoints(run.string()).size() == 1);
  CHECK_FALSE(verify_checkpoint(checkpoint_path(run.string(), 2)).has_value());
}
