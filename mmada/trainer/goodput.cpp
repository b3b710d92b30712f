// SPDX-License-Identifier: MIT
#include "mmada/trainer/goodput.h"

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/trainer/checkpoint.h"

namespace mmada {
namespace {

std::string newest_path(const std::string& run_directory) {
  const auto found = list_checkpoints(run_directory);
  return found.empty() ? "" : found.front().path;
}

/// Seconds that the steps took which a checkpoint holds, 0 where it is of a time before they were counted.
double productive_seconds_of(const std::string& checkpoint) {
  if (checkpoint.empty()) return 0.0;
  const std::string path = checkpoint + "/state.json";
  const Json state = read_json_file(path, kLargeJson);
  const Json seconds = state.is_object() ? state.value("productive_seconds", Json(0.0)) : Json();
  MMADA_CHECK(seconds.is_number(), path, ": field `productive_seconds`: found no number");
  return seconds.get<double>();
}

}  // namespace

GoodputClock::GoodputClock(const std::string& run_directory, const std::string& beginning)
    : run_directory_(run_directory) {
  if (beginning == "none") return;
  try {
    before_ = productive_seconds_of(beginning == "latest" ? newest_path(run_directory) : beginning);
  } catch (const Error& error) {
    damage_ = error.what();
  }
}

Goodput GoodputClock::now() const {
  MMADA_CHECK(damage_.empty(), damage_);
  Goodput goodput = nothing();
  goodput.productive_seconds = productive_seconds_of(newest_path(run_directory_)) - before_;
  return goodput;
}

Goodput GoodputClock::nothing() const {
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin_;
  return {.productive_seconds = 0.0, .wall_seconds = passed.count()};
}

}  // namespace mmada
