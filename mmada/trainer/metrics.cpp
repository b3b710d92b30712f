// SPDX-License-Identifier: MIT
#include "mmada/trainer/metrics.h"

#include <chrono>
#include <filesystem>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/formats/atomic_file.h"

namespace mmada {
namespace {

/// Keeps whole lines of steps up to and including first_step: step N's line stands in the checkpoint N
/// already.
void drop_lines_beyond(const std::string& path, int64_t first_step) {
  if (!std::filesystem::exists(path)) return;
  std::ifstream in(path);
  std::string kept, line;
  while (std::getline(in, line)) {
    const Json entry = Json::parse(line, nullptr, false);  // a line cut short by a crash is not JSON
    if (entry.is_object() && entry.contains("step") && entry["step"].get<int64_t>() <= first_step)
      kept += line + "\n";
  }
  write_file(path, kept);
}

}  // namespace

Metrics::Metrics(const std::string& run_directory, int64_t first_step, bool tensorboard)
    : path_(run_directory + "/metrics.jsonl") {
  std::filesystem::create_directories(run_directory);
  drop_lines_beyond(path_, first_step);
  lines_.open(path_, std::ios::app);
  MMADA_CHECK(lines_.is_open(), path_, ": cannot be opened for writing");
  if (tensorboard) events_.emplace(run_directory + "/events", first_step);
}

void Metrics::write(int64_t step, const MetricValues& values) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Json line = {{"step", step}, {"time", std::chrono::duration<double>(now).count()}};
  for (const auto& [name, value] : values) {
    line[name] = value;
    if (events_) events_->scalar(name, step, value);
  }
  lines_ << line.dump() << std::endl;
  MMADA_CHECK(lines_.good(), path_, ": writing failed");
  if (events_) events_->flush();
}

void Metrics::image(const std::string& tag, int64_t step, const Image& image) {
  if (!events_) return;
  events_->image(tag, step, image);
  events_->flush();
}

void Metrics::text(const std::string& tag, int64_t step, const std::string& text) {
  if (!events_) return;
  events_->text(tag, step, text);
  events_->flush();
}

}  // namespace mmada
