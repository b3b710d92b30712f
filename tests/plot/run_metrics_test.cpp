// SPDX-License-Identifier: MIT
#include "mmada/plot/run_metrics.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/formats/atomic_file.h"
#include "tests/formats/expect_error.h"

using namespace mmada;
using namespace mmada::plot;
using mmada::testing::expect_error;
using mmada::testing::fresh_folder;

namespace {

constexpr const char* kTwoSteps =
    R"--({"step":10,"loss":3.0,"step_loss_t2i":2.0,"lr":0.1,"skipped_step":0.0,"throughput(tps)":7})--"
    "\n"
    R"--({"step":10,"gate/t2i/gap":0.5})--"
    "\n"
    R"--({"step":20,"loss":null,"step_loss_t2i":1.0,"lr":0.2,"skipped_step":0.0,"throughput(tps)":8})--"
    "\n";

std::string run_with(const std::string& name, const std::string& text) {
  const std::string folder = fresh_folder(name);
  write_file(folder + "/metrics.jsonl", text);
  return folder;
}

}  // namespace

TEST_CASE("a run's curves hold the file's numbers, and say which are evaluations") {
  const std::string folder = run_with("metrics_read", kTwoSteps);
  for (const std::string& path : {folder, folder + "/"}) {
    const RunMetrics run = read_run_metrics(path);
    CHECK(run.name == "metrics_read");
    CHECK_FALSE(run.torn);
    REQUIRE(run.find("step_loss_t2i") != nullptr);
    CHECK(run.find("step_loss_t2i")->steps == std::vector<double>{10, 20});
    CHECK(run.find("step_loss_t2i")->values == std::vector<double>{2, 1});
    CHECK_FALSE(run.find("step_loss_t2i")->evaluation);
    CHECK(run.find("gate/t2i/gap")->evaluation);
    CHECK(run.find("step") == nullptr);
  }
}

TEST_CASE("a value recorded as null is left out, its neighbours stay") {
  const RunMetrics run = read_run_metrics(run_with("metrics_null", kTwoSteps));
  CHECK(run.find("loss")->steps == std::vector<double>{10});
}

TEST_CASE("a last line that was cut short is left out and said") {
  const RunMetrics run =
      read_run_metrics(run_with("metrics_torn", std::string(kTwoSteps) + R"({"step":30,"loss":2)"));
  CHECK(run.torn);
  CHECK(run.find("step_loss_t2i")->steps == std::vector<double>{10, 20});
  // Even where what is left of it would parse: the number may have lost digits
  const RunMetrics whole =
      read_run_metrics(run_with("metrics_torn_whole", std::string(kTwoSteps) + R"({"step":30,"loss":2})"));
  CHECK(whole.torn);
  CHECK(whole.find("loss")->steps == std::vector<double>{10});
}

TEST_CASE("what is no metrics file is named with its line") {
  expect_error([&] { read_run_metrics(fresh_folder("metrics_none")); },
               {"metrics_none/metrics.jsonl", "not found", "training run"});
  expect_error([&] { read_run_metrics(run_with("metrics_empty", "")); },
               {"metrics_empty/metrics.jsonl", "no metrics"});
  expect_error([&] { read_run_metrics(run_with("metrics_only_torn", R"({"step":1,"loss":2)")); },
               {"metrics_only_torn/metrics.jsonl", "no metrics"});
  expect_error(
      [&] { read_run_metrics(run_with("metrics_inner", "{\"step\":1,\"lo\n" + std::string(kTwoSteps))); },
      {"metrics.jsonl:1"});
  expect_error(
      [&] {
        read_run_metrics(
            run_with("metrics_text", std::string(kTwoSteps) + "{\"step\":3,\"loss\":\"low\"}\n"));
      },
      {"metrics.jsonl:4", "`loss`", "low", "number"});
  expect_error([&] { read_run_metrics(run_with("metrics_no_step", "{\"loss\":3}\n")); },
               {"metrics.jsonl:1", "step"});
}

TEST_CASE("a running mean is that of the neighbours on both sides, as many as there are") {
  const std::vector<double> values = {4, 2, 6, 8, -2};
  CHECK(running_mean(values, 1) == values);
  CHECK(running_mean(values, 3) == std::vector<double>{3, 4, 16.0 / 3, 4, 3});
  CHECK(running_mean(values, 99) == std::vector<double>{3.6, 3.6, 3.6, 3.6, 3.6});
}

TEST_CASE("without a wish every metric but bookkeeping is chosen, evaluations last") {
  const std::vector<RunMetrics> runs = {read_run_metrics(run_with("metrics_all", kTwoSteps))};
  CHECK(choose_metrics(runs, {}) ==
        std::vector<std::string>{"loss", "step_loss_t2i", "lr", "throughput(tps)", "gate/t2i/gap"});
}

TEST_CASE("metrics are chosen by name and by group, in the order of the wish") {
  const std::vector<RunMetrics> runs = {read_run_metrics(run_with("metrics_choice", kTwoSteps))};
  CHECK(choose_metrics(runs, {"lr", "loss", "skipped_step", "gate"}) ==
        std::vector<std::string>{"lr", "loss", "skipped_step", "gate/t2i/gap"});
  CHECK_THROWS_AS(choose_metrics(runs, {"los"}), UsageError);
  expect_error([&] { choose_metrics(runs, {"step_loss_t2l"}); },
               {"step_loss_t2l", "metrics_choice", "step_loss_t2i"});
}
