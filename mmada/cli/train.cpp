// SPDX-License-Identifier: MIT
#include "mmada/trainer/train.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mmada/cli/verb.h"
#include "mmada/core/check.h"
#include "mmada/core/config.h"
#include "mmada/core/signal_stack.h"
#include "mmada/core/thread_stack.h"
#include "mmada/distributed/environment.h"
#include "mmada/distributed/launch.h"
#include "mmada/distributed/restart.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/trainer/checkpoint.h"
#include "mmada/trainer/goodput.h"

namespace mmada::cli {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> overrides;
  std::string resume;
  int processes = 1;
  int64_t restarts = 0;
  double device_memory = 0;  ///< GB; 0: unknown
  bool dry_run = false, force = false, allow_partial = false;
  bool json = false;
};

std::atomic<int> stop_signal = 0;
static_assert(std::atomic<int>::is_always_lock_free);  // else a signal handler may not write it

/// Two requests may come to two threads at the same time.
void on_stop(int signal) {
  if (stop_signal.exchange(signal) != 0)
    ::_exit(130);  // asked twice: leave at once, the last checkpoint stays valid
}

void handle_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) handle_signal(signal, on_stop);
}

std::string output_dir(const Json& config, const Options& options) {
  return Fields(config, options.config).object("experiment").string("output_dir");
}

LaunchOptions processes_of(const Options& options) {
  LaunchOptions run{.command = {"/proc/self/exe", "train", "--config", options.config},
                    .processes = options.processes};
  if (!options.resume.empty()) run.command.insert(run.command.end(), {"--resume", options.resume});
  if (options.json) run.command.push_back("--json");
  if (options.force) run.command.push_back("--force");
  if (options.allow_partial) run.command.push_back("--allow-partial");
  run.command.insert(run.command.end(), options.overrides.begin(), options.overrides.end());
  if (!system_variable("OMP_NUM_THREADS")) {
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    run.environment.emplace_back("OMP_NUM_THREADS", std::to_string(std::max(1, cores / options.processes)));
  }
  run.failed = [](int rank, int status) {
    const std::string how =
        status > 128 ? cat("was ended by signal ", status - 128) : cat("exited with ", status);
    std::fprintf(stderr, "mmada: rank %d %s\n", rank, how.c_str());
  };
  return run;
}

/// What an operator asked for, or what would only happen again.
bool is_final(int status) {
  return status == 0 || status == 2 || status == 65 || status == 130 || status == 143;
}

/// Step of the newest checkpoint, 0 where there is none.
int64_t newest_step(const std::string& run) {
  const auto found = list_checkpoints(run);
  return found.empty() ? 0 : found.front().step;
}

/// What a run goes on from: "latest", "none" or a path.
std::string beginning(const Json& config, const Options& options) {
  if (!options.resume.empty()) return options.resume;
  return Fields(config, options.config).object("experiment").string("resume_from_checkpoint", "latest");
}

void tell_goodput(const GoodputClock& clock, bool saved) {
  try {
    const Goodput goodput = saved ? clock.now() : clock.nothing();
    std::fprintf(stderr, "mmada: goodput %.2f %%: %.2f s of %.2f s went into steps that count\n",
                 100 * goodput.share(), goodput.productive_seconds, goodput.wall_seconds);
  } catch (const Error& error) {
    std::fprintf(stderr, "mmada: goodput unknown: %s\n", error.what());
  }
}

/// Runs this program once per process, as one run, and again after failures where that is allowed: from the
/// newest checkpoint once the run has made one, whatever it began from.
void run_processes(Options options) {
  const Json config = load_config(options.config, options.overrides);
  const std::string run = output_dir(config, options);
  const int64_t first = newest_step(run);
  RestartGuard guard({.restarts = options.restarts});
  const GoodputClock clock(run, beginning(config, options));
  for (;;) {
    const int status = launch(processes_of(options));
    const int64_t reached = newest_step(run);
    if (reached != first) options.resume = "latest";
    const bool over = is_final(status);
    const auto wait = over ? std::nullopt : guard.next(reached);
    if (!wait) {
      if (options.restarts > 0 && !over) std::fprintf(stderr, "mmada: %s\n", guard.reason().c_str());
      if (options.restarts > 0) tell_goodput(clock, reached != first);
      if (status == 0) return;
      throw ExitStatus{status};
    }
    std::fprintf(stderr, "mmada: starting again in %lld s\n", static_cast<long long>(wait->count()));
    std::this_thread::sleep_for(*wait);
  }
}

/// Leaves what this process knows in the run's folder, and ends it: it would wait for the other in vain.
void report_lost_rank(const std::string& run, const WatchedThread& training, const LostRank& lost) {
  const auto seconds = static_cast<double>(lost.silence.count()) / 1000;
  const Json record = {{"silent_rank", lost.silent_rank},
                       {"silence_seconds", seconds},
                       {"rank", lost.rank},
                       {"step", lost.step},
                       {"collectives", lost.collectives},
                       {"last_collective", lost.last_collective},
                       {"stack", training.stack(std::chrono::milliseconds(500))}};
  const std::string path = cat(run, "/flight-rank-", lost.rank, ".json");
  std::fprintf(stderr,
               "mmada: rank %d has shown no sign of life for %.1f s: rank %d ends in step %lld, see %s\n",
               lost.silent_rank, seconds, lost.rank, static_cast<long long>(lost.step), path.c_str());
  try {
    write_file(path, record.dump(2) + "\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mmada: %s\n", error.what());
  }
  std::this_thread::sleep_for(lost.silence / 3);  // until the others have noticed too: they end with this one
  ::_exit(1);
}

void print_plan(const TrainingPlan& plan) {
  const auto line = [](const char* name, double value, const char* unit) {
    std::printf("%-46s %12.3f %s\n", name, value, unit);
  };
  const auto gigabytes = [&](const char* name, int64_t bytes) {
    line(name, static_cast<double>(bytes) / 1e9, "GB");
  };
  std::printf("in each of %lld processes:\n", static_cast<long long>(plan.run.processes));
  gigabytes("parameters", plan.memory.parameters);
  gigabytes("gradients", plan.memory.gradients);
  gigabytes("optimizer", plan.memory.optimizer);
  gigabytes("activations", plan.memory.activations);
  gigabytes("logits, or a block on its way back", plan.memory.working);
  if (plan.memory.reference > 0) gigabytes("reference", plan.memory.reference);
  if (plan.memory.rollouts > 0) gigabytes("whole model between updates", plan.memory.rollouts);
  if (plan.memory.set_aside > 0) gigabytes("policy, while the reference is asked", plan.memory.set_aside);
  gigabytes("together, without libraries and data", plan.memory.total());
  if (plan.program_bytes > 0) gigabytes("libraries and data of this dry run", plan.program_bytes);
  gigabytes("gathered in a step", plan.work.gathered_bytes);
  gigabytes("reduced in a step", plan.work.reduced_bytes);
  line("computed in a step", plan.work.flops / 1e12, "TFLOP");
  line("computed anew in a step", plan.work.extra_flops / 1e12, "TFLOP");
  const DeviceModel device;
  std::printf("prediction, measured by nobody, for %s (%.0f TFLOP/s, half of them in products, %.0f GB/s):\n",
              device.name.c_str(), device.peak_flops / 1e12, device.bytes_per_second / 1e9);
  line("seconds a step", plan.prediction.step_seconds, "s");
  line("tokens a second in each process", plan.prediction.tokens_per_second, "");
  line("model FLOPs utilization", 100 * plan.prediction.model_flops_utilization, "%");
}

Json plan_json(const TrainingPlan& plan) {
  const auto& [parameters, gradients, optimizer, activations, working, reference, rollouts, set_aside] =
      plan.memory;
  return {{"processes", plan.run.processes},
          {"memory_bytes",
           {{"parameters", parameters},
            {"gradients", gradients},
            {"optimizer", optimizer},
            {"activations", activations},
            {"working", working},
            {"reference", reference},
            {"rollouts", rollouts},
            {"set_aside", set_aside},
            {"total", plan.memory.total()}}},
          {"program_bytes", plan.program_bytes},
          {"gathered_bytes", plan.work.gathered_bytes},
          {"reduced_bytes", plan.work.reduced_bytes},
          {"flops", plan.work.flops},
          {"extra_flops", plan.work.extra_flops},
          {"tokens", plan.work.tokens},
          {"prediction",
           {{"device", DeviceModel().name},
            {"step_seconds", plan.prediction.step_seconds},
            {"tokens_per_second", plan.prediction.tokens_per_second},
            {"model_flops_utilization", plan.prediction.model_flops_utilization}}}};
}

void show_plan(const Options& options) {
  const Json config = load_config(options.config, options.overrides);
  const TrainingPlan plan = plan_training(config, options.config, options.processes);
  if (options.json)
    print_json(plan_json(plan));
  else
    print_plan(plan);
  const double needed = static_cast<double>(plan.memory.total()) / 1e9;
  MMADA_CHECK(options.force || options.device_memory == 0 || needed <= options.device_memory, options.config,
              ": found ", options.device_memory, " GB for each process (--device-memory), expected ", needed,
              " GB and what libraries and data take; --force plans all the same");
}

void run(const Options& options) {
  if (options.dry_run) return show_plan(options);
  if (options.processes > 1 || options.restarts > 0) return run_processes(options);
  std::vector<std::string> overrides = options.overrides;
  if (!options.resume.empty()) overrides.push_back("experiment.resume_from_checkpoint=" + options.resume);
  if (options.allow_partial) overrides.emplace_back("experiment.allow_partial=true");
  const Json config = load_config(options.config, overrides);
  const SignalStack signal_stack;
  handle_signals();
  TrainHooks hooks;
  hooks.log = &std::cerr;
  hooks.terminal = ::isatty(STDERR_FILENO) != 0;
  hooks.stop = [] { return stop_signal != 0; };
  hooks.force = options.force;
  hooks.lost = [run = output_dir(config, options), training = WatchedThread()](const LostRank& lost) {
    report_lost_rank(run, training, lost);
  };
  try {
    const TrainOutcome outcome = train(config, options.config, hooks);
    if (process_environment().rank != 0) return;
    if (options.json)
      print_json({{"step", outcome.step}, {"checkpoint", outcome.checkpoint}, {"stopped", outcome.stopped}});
    else if (!outcome.checkpoint.empty())
      std::printf("%s\n", outcome.checkpoint.c_str());
  } catch (const NonFiniteError& error) {
    std::fprintf(stderr, "mmada: %s\n", error.what());
    throw ExitStatus{65};
  } catch (const SaveError& error) {
    std::fprintf(stderr, "mmada: %s\n", error.what());
    throw ExitStatus{74};
  }
}

}  // namespace

void add_train(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "train", "Train what a configuration file describes; SIGTERM and SIGINT save and end it");
  const auto options = std::make_shared<Options>();
  verb->add_option("--config", options->config, "Configuration (JSON with comments)")
      ->required()
      ->check(CLI::ExistingFile);
  verb->add_option("overrides", options->overrides,
                   "FIELD=VALUE, such as training.seed=7 or dataset.flows.0.rows=4");
  verb->add_option("--resume", options->resume,
                   "\"latest\", \"none\" or a checkpoint's path (default: as configured, latest)");
  verb->add_flag("--allow-partial", options->allow_partial,
                 "Go on from a checkpoint whose weights alone are whole: what else is missing or damaged is "
                 "named, and begins anew");
  verb->add_option(
          "--nproc", options->processes,
          "Processes on this machine that share the model and every batch (task transformer); programs "
          "such as torchrun, mpirun and srun may start them as well")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  verb->add_option(
          "--max-restarts", options->restarts,
          "Start the processes again after a failure, from the last checkpoint, at most so often; three "
          "failures without a new checkpoint end the run")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  verb->add_flag(
      "--dry-run", options->dry_run,
      "Check everything, print the memory, traffic and work of each of --nproc processes, train nothing");
  verb->add_option("--device-memory", options->device_memory,
                   "GB that each process will have, where the run is to be (80: an H100): a plan that needs "
                   "more is printed and ends with status 1")
      ->check(CLI::PositiveNumber);
  verb->add_flag("--force", options->force, "Start, or plan, even where the memory is not there");
  verb->add_flag("--json", options->json, "Print one JSON object: step, checkpoint, stopped; or the plan");
  verb->callback([options] { run(*options); });
}

}  // namespace mmada::cli
