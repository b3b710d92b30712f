// SPDX-License-Identifier: MIT
#include "mmada/trainer/trainer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <ostream>

#include "mmada/core/progress.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/trainer/utilization.h"

namespace mmada {
namespace {

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
  } catch (const RunEnded& error) {
    throw RunEnded(cat("step ", step, ": ", error.what()));
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

/// False where somebody asked to stop meanwhile.
bool Trainer::prepare(int64_t step) {
  return step_.prepare(step, [&] { return group_.largest({hooks_.stop() ? 1 : 0}).front() > 0; });
}

void Trainer::pass_on(int64_t step, const std::vector<std::string>& notices) const {
  for (const std::string& text : notices) notice(cat("step ", step, ": ", text));
}

void Trainer::record(int64_t step, const Evaluation& found, Metrics* metrics) const {
  const auto& [values, images, texts, notices] = found;
  pass_on(step, notices);
  if (metrics == nullptr) return;
  for (const auto& [name, image] : images) metrics->image(name, step, image);
  for (const auto& [name, text] : texts) metrics->text(name, step, text);
  if (values.empty()) return;
  metrics->write(step, values);
  std::string text = cat("step ", step, ":");
  for (const auto& [name, value] : values) text += " " + name + number_text(" %.4f", value);
  notice(text);
}

bool Trainer::evaluates(int64_t step) const {
  return options_.evaluate_every > 0 && step % options_.evaluate_every == 0;
}

/// What is due after this step of numbers and of pictures.
void Trainer::look(int64_t step, Metrics* metrics) const {
  if (evaluates(step)) record(step, step_.evaluate(step), metrics);
  if (step_.validates(step))
    record(step, step_.validate(step, cat(options_.output_dir, "/samples/step-", step)), metrics);
}

StepReport Trainer::one_step(int64_t step, StepInterval* interval) {
  const auto begin = std::chrono::steady_clock::now();
  const double waited = group_.seconds_in_collectives();
  optimizer_.zero_grad();
  const StepReport report = step_.compute(step);
  pass_on(step, report.notices);
  const double norm = optimizer_.grad_norm();
  MetricValues values;
  if (!report.update) {
    values = {{"loss", report.loss}};
    values.insert(values.end(), report.parts.begin(), report.parts.end());
  } else if (accept(report, norm, step)) {
    values = {{"loss", report.loss}, {"grad_norm", norm}};
    values.insert(values.end(), report.parts.begin(), report.parts.end());
    if (options_.max_grad_norm > 0 && norm > options_.max_grad_norm)
      optimizer_.scale_gradients(options_.max_grad_norm / (norm + 1e-6));
    const double factor = options_.lr_scheduler.factor(step);
    values.emplace_back("lr", options_.optimizer.learning_rate * factor);
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
  MetricValues values = interval->take(options_.peak_flops, group_.size());
  const int64_t memory = group_.largest({peak_memory_bytes(device_)}).front();
  if (memory > 0) values.emplace_back("memory/max_active(GiB)", static_cast<double>(memory) / (1 << 30));
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
  if (first == 0 && options_.evaluate_first)
    interval.aside(
        [&] { record(0, at_step(0, [&] { return step_.evaluate(0); }), metrics ? &*metrics : nullptr); });
  int64_t saved = -1;
  std::optional<RunEnded> ended;
  const auto ends = [&](const auto& work) {
    try {
      at_step(outcome.step, work);
    } catch (const RunEnded& error) {
      ended = error;
    }
    return ended.has_value();
  };
  while (outcome.step < options_.max_train_steps) {
    const auto begin = std::chrono::steady_clock::now();
    group_.at_step(outcome.step);
    if (ends([&] { outcome.stopped = meet(outcome.step) || !prepare(outcome.step); }) || outcome.stopped)
      break;
    if (outcome.step > first) group_.set_timeout(options_.step_timeout);
    const StepReport report = at_step(outcome.step, [&] { return one_step(outcome.step, &interval); });
    group_.set_timeout();
    ++outcome.step;
    progress.update(outcome.step, "loss" + number_text(" %.4f, ", report.loss) +
                                      number_text("%.0f tok/s", interval.tokens_per_second()));
    if (outcome.step % options_.log_every == 0)
      if (const MetricValues values = measured(&interval); metrics) metrics->write(outcome.step, values);
    productive_seconds_ += seconds_since(begin);
    if (evaluates(outcome.step) || step_.validates(outcome.step)) {
      progress.finish();
      if (ends([&] { interval.aside([&] { look(outcome.step, metrics ? &*metrics : nullptr); }); })) break;
    }
    if (options_.save_every > 0 && outcome.step % options_.save_every == 0) {
      interval.aside([&] { interval.add("save_stall_seconds", save(outcome.step)); });
      saved = outcome.step;
    }
  }
  progress.finish();
  if (saved != outcome.step && outcome.step > first) save(outcome.step);
  saver_.finish();
  if (ended) throw *ended;
  outcome.checkpoint = saver_.latest();
  if (outcome.stopped) notice(cat("stopped at step ", outcome.step));
  return outcome;
}

}  // namespace mmada
