// SPDX-License-Identifier: MIT
#include "mmada/trainer/trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <sstream>
#include <thread>

#include "mmada/trainer/checkpoint.h"
#include "tests/distributed/ranks.h"

namespace mmada {
namespace {

namespace fs = std::filesystem;

/// Where something that is not finite turns up.
struct Poison {
  enum class Place { kLoss, kGradient, kWeight } place = Place::kLoss;
  int rank = 0;
  double value = std::numeric_limits<double>::quiet_NaN();
};

/// Every process pulls a piece of its own to a target, and all have the loss in common.
class Pull final : public TrainStep {
 public:
  Pull(Group group, std::map<int64_t, Poison> poisons)
      : group_(std::move(group)), poisons_(std::move(poisons)) {
    piece_ = at::full({4}, 1.0 + group_.rank(), at::kFloat).requires_grad_(true);
  }

  std::vector<TrainedTensor> parameters() const override {
    return {{"w", piece_, ParameterKind::kLinear, {4 * group_.size()}, 4 * group_.rank()}};
  }
  const Group& group() const override { return group_; }
  double flops = 0;  ///< of a step, as reported

  /// Lets a step take time in this process; returns how much of it was for data.
  std::function<double(int64_t step)> delay = [](int64_t) { return 0.0; };

  StepReport compute(int64_t step) override {
    const at::NoGradGuard no_grad;
    const double data_seconds = delay(step);
    before_.push_back(piece_.detach().clone());
    const auto poison = poisons_.find(step);
    const bool poisoned = poison != poisons_.end() && poison->second.rank == group_.rank();
    const auto is_at = [&](Poison::Place place) { return poisoned && poison->second.place == place; };
    if (is_at(Poison::Place::kWeight)) piece_[1] = poison->second.value;
    piece_.mutable_grad() = piece_ - 3.0;
    double loss = 0.5 * (piece_ - 3.0).square().sum().item<double>();
    if (is_at(Poison::Place::kLoss)) loss = poison->second.value;
    if (is_at(Poison::Place::kGradient)) piece_.mutable_grad()[1] = poison->second.value;
    return {.loss = group_.sum({loss}).front(),
            .parts = {},
            .rows = 1,
            .tokens = 3,
            .flops = flops,
            .data_seconds = data_seconds};
  }

  Json state() const override { return Json::object(); }
  void restore(const Json&) override {}
  std::function<void()> stage_model(const std::string&) override {
    return [] {};
  }
  Evaluation evaluate(int64_t) override { return {}; }

  /// This process's piece as each step found it, and at the end.
  std::vector<at::Tensor> history() const {
    std::vector<at::Tensor> all = before_;
    all.push_back(piece_.detach());
    return all;
  }

 private:
  Group group_;
  std::map<int64_t, Poison> poisons_;
  at::Tensor piece_;
  std::vector<at::Tensor> before_;
};

TrainerOptions options(const std::string& name, int64_t steps) {
  TrainerOptions options;
  options.output_dir = MMADA_TEST_TMP "/" + name;
  options.max_train_steps = steps;
  options.tensorboard = false;
  options.optimizer.learning_rate = 0.01;
  return options;
}

/// One poison in two steps of three, in any place and rank.
std::map<int64_t, Poison> many_poisons(int64_t steps, int ranks) {
  std::map<int64_t, Poison> poisons;
  for (int64_t step = 0; step < steps; ++step) {
    if (step % 3 == 2) continue;
    Poison poison{.rank = static_cast<int>(step / 3 % ranks)};
    poison.place = step % 2 == 0 ? Poison::Place::kLoss : Poison::Place::kGradient;
    if (step % 5 == 0) poison.value = std::numeric_limits<double>::infinity();
    poisons[step] = poison;
  }
  return poisons;
}

TEST_CASE("poisoned steps in every rank", "[.poisoned]") {
  const Group group = test::connect();
  const int64_t steps = 150;
  const auto poisons = many_poisons(steps, group.size());
  REQUIRE(poisons.size() == 100);
  Pull step(group, poisons);
  std::ostringstream log;
  const TrainOutcome outcome = Trainer(step, options("poisoned", steps), {.log = &log}).run();
  CHECK(outcome.step == steps);
  const auto history = step.history();
  for (int64_t i = 0; i < steps; ++i) CHECK(at::equal(history[i], history[i + 1]) == poisons.contains(i));
  CHECK(history.back().isfinite().all().item<bool>());
  CHECK((log.str().find("step 0: found loss inf") != std::string::npos) == (group.rank() == 0));
}

TEST_CASE("a loss or gradient that is not finite, in whichever process, is skipped by all of them") {
  for (const int processes : {1, 3}) {
    fs::remove_all(MMADA_TEST_TMP "/poisoned");
    CHECK(test::run_ranks("[.poisoned]", processes) == 0);
    CHECK_FALSE(verify_checkpoint(MMADA_TEST_TMP "/poisoned/checkpoint-150").has_value());
  }
}

std::vector<Json> metrics_of(const TrainerOptions& options) {
  std::vector<Json> lines;
  std::ifstream in(options.output_dir + "/metrics.jsonl");
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

/// A run of six steps, two a line, afresh.
std::vector<Json> utilization_lines(const std::string& name, const Group& group, double flops, double peak) {
  TrainerOptions run = options(name, 6);
  run.log_every = 2;
  run.peak_flops = peak;
  run.resume_from_checkpoint = "none";
  Pull step(group, {});
  step.flops = flops;
  Trainer(step, run, {}).run();
  return metrics_of(run);
}

TEST_CASE("utilization in every rank", "[.utilization]") {
  const Group group = test::connect();
  const auto lines = utilization_lines("utilization", group, 5e6, 2e9);
  if (group.rank() != 0) return;
  REQUIRE(lines.size() == 3);
  for (const Json& line : lines) {
    // A step has 3 tokens and 5e6 FLOPs, so that the rate of tokens tells the line's seconds
    const double steps_per_second = line["throughput(tps)"].get<double>() * group.size() / 3;
    CHECK(line["mfu(%)"].get<double>() ==
          Approx(100 * 5e6 * steps_per_second / (2e9 * group.size())).epsilon(1e-12));
    CHECK(line["memory/max_active(GiB)"].get<double>() > 1e-3);
  }
}

TEST_CASE("mfu is the step's FLOPs by time by the peak of all processes") {
  for (const int processes : {1, 3}) {
    fs::remove_all(MMADA_TEST_TMP "/utilization");
    CHECK(test::run_ranks("[.utilization]", processes) == 0);
  }
}

TEST_CASE("mfu is left out where the peak or the FLOPs are unknown") {
  fs::remove_all(MMADA_TEST_TMP "/no_peak");
  fs::remove_all(MMADA_TEST_TMP "/no_flops");
  for (const auto& lines :
       {utilization_lines("no_peak", Group(), 5e6, 0), utilization_lines("no_flops", Group(), 0, 2e9)})
    for (const Json& line : lines) {
      CHECK_FALSE(line.contains("mfu(%)"));
      CHECK(line.contains("memory/max_active(GiB)"));
    }
}

TEST_CASE("a run that goes wrong in every rank", "[.wrong]") {
  const Group group = test::connect();
  std::map<int64_t, Poison> poisons;
  for (const int64_t step : {4, 5, 6}) poisons[step] = {.place = Poison::Place::kGradient, .rank = 1};
  Pull step(group, poisons);
  CHECK_THROWS_AS(Trainer(step, options("wrong", 20), {}).run(), NonFiniteError);
  CHECK(step.history().size() == 8);
  CHECK(at::equal(step.history()[4], step.history()[7]));
}

TEST_CASE("the third such step in a row ends the run in all processes, and nothing is saved") {
  fs::remove_all(MMADA_TEST_TMP "/wrong");
  CHECK(test::run_ranks("[.wrong]", 2) == 0);
  CHECK(list_checkpoints(MMADA_TEST_TMP "/wrong").empty());
}

TEST_CASE("a weight that turns bad in every rank", "[.weight]") {
  const Group group = test::connect();
  Pull step(group, {{3, {.place = Poison::Place::kWeight, .rank = 1}}});
  TrainerOptions wanted = options("weight", 20);
  wanted.save_every = std::atoi(std::getenv("MMADA_TEST_SAVE_EVERY"));
  if (wanted.save_every == 0)
    CHECK_THROWS_AS(Trainer(step, wanted, {}).run(), NonFiniteError);
  else
    CHECK_THROWS_AS(Trainer(step, wanted, {}).run(), SaveError);
}

TEST_CASE("a weight that turns bad in memory ends the run in all processes and reaches no checkpoint") {
  for (const char* save_every : {"0", "1"}) {
    fs::remove_all(MMADA_TEST_TMP "/weight");
    CHECK(test::run_ranks("[.weight]", 2, {{"MMADA_TEST_SAVE_EVERY", save_every}}) == 0);
    const auto found = list_checkpoints(MMADA_TEST_TMP "/weight");
    REQUIRE(found.size() == (save_every[0] == '0' ? 0 : 3));  // of the steps before
    for (const FoundCheckpoint& checkpoint : found) CHECK_FALSE(verify_checkpoint(checkpoint.path));
  }
}

TEST_CASE("a process that is late in a step of every rank", "[.late step]") {
  const Group group = test::connect();
  Pull step(group, {});
  step.delay = [&](int64_t index) {
    const int64_t late = index == 0 ? 1500 : index == 2 ? 4000 : 0;
    if (group.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(late));
    return 0.0;
  };
  TrainerOptions wanted = options("late", 20);
  wanted.step_timeout = std::chrono::seconds(1);
  CHECK_THROWS_WITH(Trainer(step, wanted, {}).run(), Catch::Contains("step 2: process group: rank "));
}

TEST_CASE("within a step, but for a run's first one, processes wait no longer than step_timeout") {
  fs::remove_all(MMADA_TEST_TMP "/late");
  CHECK(test::run_ranks("[.late step]", 2) == 0);
}

TEST_CASE("a checkpoint of an earlier version in every rank", "[.earlier]") {
  const Group group = test::connect();
  Pull straight(group, {}), resumed(group, {});
  TrainerOptions wanted = options("straight", 9);
  wanted.resume_from_checkpoint = "none";
  Trainer(straight, wanted, {}).run();
  wanted = options("earlier", 9);
  wanted.resume_from_checkpoint = MMADA_TEST_DATA "/checkpoint_format_1/checkpoint-5";
  std::ostringstream log;
  CHECK(Trainer(resumed, wanted, {.log = &log}).run().step == 9);
  REQUIRE(resumed.history().size() == 5);
  for (size_t i = 0; i < 5; ++i)
    CHECK(at::allclose(resumed.history()[i], straight.history()[5 + i], 0, 1e-6));
}

TEST_CASE("a checkpoint of format 1, as 0.1.0 saved it, is gone on from") {
  CHECK(test::run_ranks("[.earlier]", 2) == 0);
}

TEST_CASE("a stop asked for in every rank", "[.stop]") {
  const Group group = test::connect();
  Pull step(group, {});
  int64_t asked = 0;
  TrainHooks hooks;
  hooks.stop = [&] { return ++asked > 5 && group.rank() == 1; };  // one process alone is asked
  const TrainOutcome outcome = Trainer(step, options("stop", 1000), hooks).run();
  CHECK(outcome.stopped);
  CHECK(outcome.step == 5);
}

TEST_CASE("asking one process to stop stops all of them at one step, with a checkpoint") {
  fs::remove_all(MMADA_TEST_TMP "/stop");
  CHECK(test::run_ranks("[.stop]", 2) == 0);
  CHECK_FALSE(verify_checkpoint(MMADA_TEST_TMP "/stop/checkpoint-5").has_value());
}

TEST_CASE("one slow process among several", "[.slow]") {
  const Group group = test::connect();
  Pull step(group, {});
  const bool in_data = group.size() == 2;
  step.delay = [&](int64_t) {
    const double seconds = group.rank() == 1 ? 0.1 : 0.01;  // far apart on a busy machine, too
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    return in_data ? seconds : 0.0;
  };
  std::ostringstream log;
  Trainer(step, options("slow", 20), {.log = &log}).run();
  const std::string wanted =
      cat("rank 1 of ", group.size(), " is slow in ", in_data ? "data" : "compute", ": found ");
  INFO(log.str());
  CHECK((log.str().find(wanted) != std::string::npos) == (group.rank() == 0));
}

TEST_CASE(
    "a slow process is named in the log with the phase it loses time in, not the ones that wait for it") {
  for (const int processes : {2, 3}) {
    fs::remove_all(MMADA_TEST_TMP "/slow");
    CHECK(test::run_ranks("[.slow]", processes) == 0);
  }
}

TEST_CASE("a run that goes wrong beside a save in every rank", "[.beside]") {
  const Group group = test::connect();
  std::map<int64_t, Poison> poisons;
  for (const int64_t step : {2, 3, 4}) poisons[step] = {.place = Poison::Place::kLoss, .rank = 0};
  Pull step(group, poisons);
  TrainerOptions with_saves = options("beside", 20);
  with_saves.save_every = 2;
  with_saves.async_save = true;
  CHECK_THROWS_AS(Trainer(step, with_saves, {}).run(), NonFiniteError);
}

TEST_CASE("a save that was under way when a run goes wrong is finished: its weights are good") {
  fs::remove_all(MMADA_TEST_TMP "/beside");
  CHECK(test::run_ranks("[.beside]", 2) == 0);
  const auto found = list_checkpoints(MMADA_TEST_TMP "/beside");
  REQUIRE(found.size() == 2);  // of the steps 2 and 4
  CHECK_FALSE(verify_checkpoint(found[0].path).has_value());
}

}  // namespace
}  // namespace mmada
