// SPDX-License-Identifier: MIT
#include "mmada/rewards/process_reward.h"

#include <cmath>
#include <future>

#include "mmada/core/base64.h"
#include "mmada/core/quote.h"

namespace mmada {
namespace {

constexpr size_t kLongestAnswer = 64u << 20;
constexpr int kProtocol = 1;

Json sample_json(const RewardSample& sample) {
  const auto png = [](const std::optional<Image>& image) {
    return image ? Json(encode_base64(encode_png(*image))) : Json(nullptr);
  };
  return {{"task", sample.task},       {"prompt", sample.prompt},     {"response", sample.response},
          {"answer", sample.answer},   {"metadata", sample.metadata}, {"image", png(sample.image)},
          {"shown", png(sample.shown)}};
}

Json parse_line(const std::string& line) {
  try {
    return parse_json(line, "its line", {.max_bytes = kLongestAnswer});
  } catch (const Error&) {
    throw WorkerError(cat("found ", quote(line), ", expected a line of JSON"));
  }
}

/// What a worker says went wrong, else null.
Json found_error(const Json& message) {
  return message.is_object() ? message.value("error", Json()) : Json();
}

[[noreturn]] void refuse(const Json& error) {
  throw WorkerError(cat("it says ", quote(error.is_string() ? error.get<std::string>() : error.dump(), 400)));
}

Scores scores_of(const Json& message, int64_t id, size_t count) {
  const auto say = [&](const std::string& expected) {
    throw WorkerError(cat("found ", quote(message.dump(-1, ' ', false, Json::error_handler_t::replace)),
                          ", expected ", expected));
  };
  if (!message.is_object() || message.value("id", Json()) != Json(id)) say(cat("an object with id ", id));
  if (const Json error = found_error(message); !error.is_null()) refuse(error);
  const Json list = message.value("scores", Json());
  if (!list.is_array()) say("a list of scores");
  if (list.size() != count) throw WorkerError(cat("found ", list.size(), " scores, expected ", count));
  Scores scores;
  for (const Json& score : list) {
    if (!score.is_null() && !score.is_number()) say("scores that are numbers or null");
    scores.push_back(score.is_null() ? std::nullopt : std::optional(score.get<double>()));
    if (scores.back() && !std::isfinite(*scores.back())) say("finite scores");
  }
  return scores;
}

/// Equal parts of a batch to workers side by side.
class SideBySide : public Reward {
 public:
  explicit SideBySide(const ProcessRewardOptions& options) {
    for (int64_t i = 0; i < options.workers; ++i)
      workers_.push_back(std::make_unique<ProcessReward>(options));
  }

  Scores score(std::span<const RewardSample> samples) override {
    const size_t share = (samples.size() + workers_.size() - 1) / workers_.size();
    std::vector<std::future<Scores>> parts;  // each waits for its end when it goes
    for (size_t begin = 0; begin < samples.size(); begin += share)
      parts.push_back(std::async(std::launch::async, [&, worker = workers_[parts.size()].get(), begin] {
        return worker->score(samples.subspan(begin, std::min(share, samples.size() - begin)));
      }));
    Scores scores;
    for (auto& part : parts)
      for (const std::optional<double>& score : part.get()) scores.push_back(score);
    return scores;
  }

 private:
  std::vector<std::unique_ptr<ProcessReward>> workers_;
};

}  // namespace

ProcessReward::ProcessReward(ProcessRewardOptions options) : options_(std::move(options)) {}

void ProcessReward::start() {
  id_ = 0;
  worker_ = std::make_unique<WorkerProcess>(options_.command, options_.environment, options_.most_memory);
  const Json greeting =
      parse_line(worker_->receive(WorkerProcess::Clock::now() + options_.startup, kLongestAnswer));
  if (const Json error = found_error(greeting); !error.is_null()) refuse(error);
  if (!greeting.is_object() || greeting.value("protocol", Json()) != Json(kProtocol))
    throw WorkerError(
        cat("found the greeting ", quote(greeting.dump()), ", expected {\"protocol\": ", kProtocol, "}"));
}

Scores ProcessReward::ask(std::span<const RewardSample> samples) {
  if (worker_ == nullptr) start();
  Json request = {{"id", ++id_}, {"samples", Json::array()}};
  for (const RewardSample& sample : samples) request["samples"].push_back(sample_json(sample));
  const auto deadline = WorkerProcess::Clock::now() + options_.timeout;
  worker_->send(request.dump(-1, ' ', false, Json::error_handler_t::replace), deadline);
  return scores_of(parse_line(worker_->receive(deadline, kLongestAnswer)), id_, samples.size());
}

Scores ProcessReward::score(std::span<const RewardSample> samples) {
  try {
    return ask(samples);
  } catch (const WorkerError& error) {
    worker_.reset();
    throw RewardFailure(error.what());
  }
}

std::unique_ptr<Reward> make_worker_reward(const ProcessRewardOptions& options) {
  if (options.workers > 1) return std::make_unique<SideBySide>(options);
  return std::make_unique<ProcessReward>(options);
}

ProcessRewardOptions parse_worker_options(Fields& fields) {
  ProcessRewardOptions options;
  const auto seconds = [&](const char* key, std::chrono::milliseconds fallback) {
    const double value = fields.number(key, 0.001, 1e6, static_cast<double>(fallback.count()) / 1000);
    return std::chrono::milliseconds(static_cast<int64_t>(value * 1000));
  };
  options.startup = seconds("startup_seconds", options.startup);
  options.timeout = seconds("timeout_seconds", options.timeout);
  options.workers = fields.integer("workers", 1, 1024, 1);
  options.most_memory = static_cast<uint64_t>(fields.number("memory_limit_gb", 0.0, 1e6, 0.0) * 1e9);
  return options;
}

std::unique_ptr<Reward> make_process_reward(Fields fields) {
  ProcessRewardOptions options = parse_worker_options(fields);
  options.command = fields.strings("command");
  if (options.command.empty()) fields.fail("command", "an empty list", "a program and its arguments");
  fields.finish();
  return make_worker_reward(options);
}

}  // namespace mmada
