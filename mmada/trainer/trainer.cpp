// SPDX-License-Identifier: MIT
#include "mmada/trainer/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <ostream>

#include "mmada/core/progress.h"
#include "mmada/core/version.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/trainer/checkpoint.h"
#include "mmada/trainer/utilization.h"

namespace mmada {
namespace {

constexpr int64_t kMaxSteps = int64_t{1} << 40;
constexpr int64_t kFormatVersion = 1;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::string number_text(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// Where the trained tensors are; a process may have none.
c10::Device device_of(const TrainStep& step) {
  const auto parameters = step.parameters();
  return parameters.empty() ? c10::Device(c10::kCPU) : parameters.front().tensor.device();
}

/// Runs `work` and puts the step's number before what goes wrong in it.
template <class Work>
auto at_step(int64_t step, Work&& work) {
  try {
    return work();
  } catch (const NonFiniteError&) {
    throw;
  } catch (const SaveError&) {
    throw;
  } catch (const Error& error) {
    throw Error(cat("step ", step, ": ", error.what()));
  }
}

}  // namespace

Trainer::Trainer(TrainStep& step, TrainerOptions options, TrainHooks hooks)
    : step_(step),
      options_(std::move(options)),
      hooks_(std::move(hooks)),
      group_(step_.group()),
      device_(device_of(step_)),
      optimizer_(step_.parameters(), options_.optimizer, group_),
      saver_({options_.output_dir, options_.checkpoints_total_limit, options_.async_save}, group_),
      stragglers_({"data", "compute"}) {
  if (group_.rank() != 0) hooks_.log = nullptr;
}

void Trainer::notice(const std::string& text) const {
  if (hooks_.log != nullptr) *hooks_.log << text << std::endl;
}

void Trainer::restore(const std::string& path) {
  const Json state = load_checkpoint(path, optimizer_.state(), group_);
  Fields fields(state, path + "/state.json");
  fields.integer("format_version", kFormatVersion, kFormatVersion);
  fields.integer("step", 0, kMaxSteps);
  optimizer_.set_steps(fields.integer("optimizer_steps", 0, kMaxSteps));
  optimizer_.publish();
  productive_seconds_ = fields.number("productive_seconds", 0.0, 1e18, 0.0);
  const int64_t threads = fields.integer("threads", 1, 1 << 20);
  if (threads != at::get_num_threads())
    notice(cat("note: the checkpoint was made with ", threads, " threads, this process has ",
               at::get_num_threads(), ": results will differ in the last bits"));
  const int64_t processes = fields.integer("processes", 1, 1 << 20);
  if (processes != group_.size())
    notice(cat("note: the checkpoint was made by ", processes, " processes, this run has ", group_.size(),
               ": results will differ in the last bits"));
  const auto seed = static_cast<uint64_t>(fields.integer("seed", 0, INT64_MAX));
  if (seed != options_.seed)
    notice(cat("note: the checkpoint's seed is ", seed, ", this run's is ", options_.seed));
  const Json& own = fields.raw("train_step");
  if (!own.is_object()) fields.fail("train_step", "nothing", "the data positions");
  try {
    step_.restore(own);
  } catch (const Error& error) {  // names the file alone
    throw Error(cat(path, "/", error.what()));
  }
  if (fields.raw("config") != options_.config)
    notice("note: the configuration differs from the checkpoint's");
  for (const char* informative : {"versions", "lr_scale"}) fields.ignore(informative);
  fields.finish();
}

/// Path of the checkpoint to go on from, empty where there is none; in rank 0.
std::string Trainer::find_checkpoint() const {
  const std::string& path = options_.resume_from_checkpoint;
  if (path != "latest") {
    const auto problem = verify_checkpoint(path);
    MMADA_CHECK(!problem, path, ": ", problem.value_or(""));
    return path;
  }
  std::vector<std::string> refused;
  const auto found = newest_checkpoint(options_.output_dir, &refused);
  for (const std::string& reason : refused) notice("passing over " + reason);
  MMADA_CHECK(found || refused.empty(), options_.output_dir,
              ": none of its checkpoints verifies; start anew with resume_from_checkpoint=none");
  return found ? found->path : "";
}

int64_t Trainer::resume() {
  if (options_.resume_from_checkpoint == "none") return 0;
  std::string path = options_.resume_from_checkpoint;
  const at::Tensor step = at::full({1}, -1, at::kLong);
  group_.agree("looking for a checkpoint", [&] {
    if (group_.rank() != 0) return;
    path = find_checkpoint();
    if (!path.empty()) step.fill_(read_json_file(path + "/state.json", kLargeJson).at("step").get<int64_t>());
  });
  group_.broadcast(step);
  const auto found = step.item<int64_t>();
  if (found < 0) return 0;
  if (options_.resume_from_checkpoint == "latest") path = checkpoint_path(options_.output_dir, found);
  restore(path);
  notice(cat("resuming from ", path, " at step ", found));
  return found;
}

Json Trainer::state(int64_t step) const {
  // Random streams are functions of the seed and the step, so that these two are the whole random state.
  return {{"format_version", kFormatVersion},
          {"step", step},
          {"optimizer_steps", optimizer_.steps()},
          {"productive_seconds", productive_seconds_},
          {"seed", options_.seed},
          {"lr_scale", options_.lr_scheduler.factor(step)},
          {"threads", at::get_num_threads()},
          {"processes", group_.size()},
          {"versions", {{"mmada", MMADA_VERSION}, {"libtorch", TORCH_VERSION}}},
          {"train_step", step_.state()},
          {"config", options_.config}};
}

/// Returns the seconds that training stood still.
double Trainer::save(int64_t step) {
  const auto begin = std::chrono::steady_clock::now();
  const CheckpointContents contents{
      .step = step,
      .tensors = optimizer_.state(),
      .state = state(step),
      .save_model =
          [&](const std::string& directory) {
            step_.save_model(directory + "/unwrapped_model");
            if (optimizer_.has_ema())
              optimizer_.with_ema([&] { step_.save_model(directory + "/unwrapped_model_ema"); });
          },
      .stage_model =
          [&](const std::string& directory) {
            std::vector<std::function<void()>> parts{step_.stage_model(directory + "/unwrapped_model")};
            if (optimizer_.has_ema())
              optimizer_.with_ema(
                  [&] { parts.push_back(step_.stage_model(directory + "/unwrapped_model_ema")); });
            return [parts] {
              for (const auto& part : parts) part();
            };
          }};
  saver_.save(contents);
  return seconds_since(begin);
}

/// Whether the step's update can be made: the same answer in every process, for both numbers are common.
bool Trainer::accept(const StepReport& report, double norm, int64_t step) {
  if (std::isfinite(report.loss) && std::isfinite(norm)) {
    skipped_ = 0;
    return true;
  }
  const std::string found = cat("step ", step, ": found loss ", report.loss, " and gradient norm ", norm,
                                ", expected finite values: ");
  if (++skipped_ > options_.max_skipped_steps) {
    saver_.finish();  // of a step before: it is good
    throw NonFiniteError(cat(found, "stopped after ", skipped_,
                             " such steps in a row; no update was made in them and nothing was saved"));
  }
  notice(found + "skipped, the weights stay as they were");
  return false;
}

/// What the processes tell each other between two steps, in one collective: who was asked to stop (the others
/// go along), how the save goes, and what time their own work took. Returns whether to stop.
bool Trainer::meet(int64_t step) {
  constexpr int64_t kValues = 4;
  constexpr double kMicroseconds = 1e6;
  const std::vector<int64_t> own{hooks_.stop() ? 1 : 0, saver_.progress(),
                                 std::llround(own_time_.data * kMicroseconds),
                                 std::llround(own_time_.compute * kMicroseconds)};
  const at::Tensor all = at::empty({group_.size() * kValues}, at::kLong);
  group_.all_gather(all, at::tensor(own, at::kLong)).wait();
  const auto of_all = all.accessor<int64_t, 1>();
  int64_t stop = 0, progress = 0;
  std::vector<std::vector<double>> seconds;
  for (int64_t i = 0; i < all.numel(); i += kValues) {
    stop = std::max(stop, of_all[i]);
    progress = std::max(progress, of_all[i + 1]);
    seconds.push_back({static_cast<double>(of_all[i + 2]) / kMicroseconds,
                       static_cast<double>(of_all[i + 3]) / kMicroseconds});
  }
  saver_.advance(progress);
  for (const Straggler& slow : stragglers_.observe(seconds))
    notice(cat("step ", step, ": rank ", slow.rank, " of ", group_.size(), " is slow in ", slow.phase,
               ": found ", number_text("%.3f", slow.seconds), " s of its own work a step, the others take ",
               number_text("%.3f", slow.expected), " s"));
  return stop > 0;
}

void Trainer::record(int64_t step, const Evaluation& found, Metrics* metrics) const {
  const auto& [values, images, texts] = found;
  if (metrics == nullptr) return;
  for (const auto& [name, image] : images) metrics->image(name, step, image);
  for (const auto& [name, text] : texts) metrics->text(name, step, text);
  if (values.empty()) return;
  metrics->write(step, values);
  std::string text = cat("step ", step, ":");
  for (const auto& [name, value] : values) text += " " + name + number_text(" %.4f", value);
  notice(text);
}

StepReport Trainer::one_step(int64_t step, StepInterval* interval) {
  const auto begin = std::chrono::steady_clock::now();
  const double waited = group_.seconds_in_collectives();
  optimizer_.zero_grad();
  const StepReport report = step_.compute(step);
  const double norm = optimizer_.grad_norm();
  MetricValues values;
  if (accept(report, norm, step)) {
    values = {{"loss", report.loss}, {"grad_norm", norm}};
    values.insert(values.end(), report.parts.begin(), report.parts.end());
    if (options_.max_grad_norm > 0 && norm > options_.max_grad_norm)
      optimizer_.scale_gradients(options_.max_grad_norm / (norm + 1e-6));
    const double factor = options_.lr_scheduler.factor(step);
    values.emplace_back("learning_rate", options_.optimizer.learning_rate * factor);
    optimizer_.step(factor);
  }
  values.emplace_back("skipped_step", skipped_ > 0 ? 1.0 : 0.0);
  interval->add(values, report);
  const double own = seconds_since(begin) - (group_.seconds_in_collectives() - waited);
  own_time_ = {.data = report.data_seconds, .compute = std::max(0.0, own - report.data_seconds)};
  return report;
}

/// A line of metrics: the interval's, and the memory of whichever process took most.
MetricValues Trainer::measured(StepInterval* interval) const {
  MetricValues values = interval->take(options_.peak_flops * group_.size());
  const int64_t memory = group_.largest({peak_memory_bytes(device_)}).front();
  if (memory > 0) values.emplace_back("memory_bytes", static_cast<double>(memory));
  return values;
}

TrainOutcome Trainer::run() {
  const int64_t first = resume();
  TrainOutcome outcome{.step = first, .checkpoint = "", .stopped = false};
  std::optional<Metrics> metrics;  // in rank 0
  group_.agree("opening the run's folder", [&] {
    if (group_.rank() != 0) return;
    std::filesystem::create_directories(options_.output_dir);
    write_file(options_.output_dir + "/config.json", options_.config.dump(2) + "\n");
    metrics.emplace(options_.output_dir, first, options_.tensorboard);
  });
  Progress progress(hooks_.log, {.label = "train",
                                 .total = options_.max_train_steps,
                                 .start = first,
                                 .terminal = hooks_.terminal,
                                 .log_seconds = 30.0});
  StepInterval interval;
  int64_t saved = -1;
  while (outcome.step < options_.max_train_steps) {
    const auto begin = std::chrono::steady_clock::now();
    group_.at_step(outcome.step);
    outcome.stopped = at_step(outcome.step, [&] { return meet(outcome.step); });
    if (outcome.stopped) break;
    const StepReport report = at_step(outcome.step, [&] { return one_step(outcome.step, &interval); });
    ++outcome.step;
    progress.update(outcome.step, "loss" + number_text(" %.4f, ", report.loss) +
                                      number_text("%.0f tok/s", interval.tokens_per_second()));
    if (outcome.step % options_.log_every == 0)
      if (const MetricValues values = measured(&interval); metrics) metrics->write(outcome.step, values);
    productive_seconds_ += seconds_since(begin);
    if (options_.evaluate_every > 0 && outcome.step % options_.evaluate_every == 0) {
      progress.finish();
      interval.aside(
          [&] { record(outcome.step, step_.evaluate(outcome.step), metrics ? &*metrics : nullptr); });
    }
    if (step_.validates(outcome.step)) {
      progress.finish();
      const std::string samples = cat(options_.output_dir, "/samples/step-", outcome.step);
      interval.aside([&] {
        record(outcome.step, step_.validate(outcome.step, samples), metrics ? &*metrics : nullptr);
      });
    }
    if (options_.save_every > 0 && outcome.step % options_.save_every == 0) {
      interval.aside([&] { interval.add("save_stall_seconds", save(outcome.step)); });
      saved = outcome.step;
    }
  }
  progress.finish();
  if (saved != outcome.step && outcome.step > first) save(outcome.step);
  saver_.finish();
  outcome.checkpoint = saver_.latest();
  if (outcome.stopped) notice(cat("stopped at step ", outcome.step));
  return outcome;
}

}  // namespace mmada
