// SPDX-License-Identifier: MIT
#include "mmada/plot/run_metrics.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/core/quote.h"
#include "mmada/formats/atomic_file.h"

namespace mmada::plot {
namespace {

/// Every training line holds it; lines without it are evaluations.
constexpr const char* kTrainingLine = "throughput(tps)";
constexpr std::array kBookkeeping = {"skipped_step", "samples/sec/gpu", "tflops",
                                     "batch_time",   "data_time",       "padding_saved"};
constexpr std::array kFirst = {"loss"};  // drawn before everything else

Curve& curve_of(RunMetrics& run, const std::string& metric) {
  for (Curve& curve : run.curves)
    if (curve.metric == metric) return curve;
  return run.curves.emplace_back(Curve{.metric = metric, .steps = {}, .values = {}});
}

void add_line(RunMetrics& run, const Json& line, const std::string& place) {
  MMADA_CHECK(line.is_object() && line.contains("step") && line["step"].is_number(), place, ": found ",
              found_text(line), ", expected an object with a number \"step\"");
  const auto step = line["step"].get<double>();
  const bool evaluation = !line.contains(kTrainingLine);
  for (const auto& [metric, value] : line.items()) {
    if (metric == "step" || metric == "time" || value.is_null()) continue;
    MMADA_CHECK(value.is_number(), place, ": field `", printable(metric), "`: found ", found_text(value),
                ", expected a number");
    Curve& curve = curve_of(run, metric);
    curve.evaluation = evaluation;
    curve.steps.push_back(step);
    curve.values.push_back(value.get<double>());
  }
}

std::string run_name(const std::string& directory) {
  const auto path = std::filesystem::path(directory).lexically_normal();
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  return name.empty() || name == "." || name == ".." ? directory : name;
}

bool is_bookkeeping(const std::string& metric) {
  return std::find(kBookkeeping.begin(), kBookkeeping.end(), metric) != kBookkeeping.end();
}

/// All metrics: the loss, what else the training lines hold, then the evaluations'.
std::vector<std::string> all_metrics(const std::vector<RunMetrics>& runs) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const char* first : kFirst)
    if (std::any_of(runs.begin(), runs.end(), [&](const RunMetrics& run) { return run.find(first); }))
      add(first);
  for (const bool evaluation : {false, true})
    for (const RunMetrics& run : runs)
      for (const Curve& curve : run.curves)
        if (curve.evaluation == evaluation) add(curve.metric);
  return names;
}

}  // namespace

const Curve* RunMetrics::find(const std::string& metric) const {
  for (const Curve& curve : curves)
    if (curve.metric == metric) return &curve;
  return nullptr;
}

RunMetrics read_run_metrics(const std::string& run_directory) {
  const std::string path = run_directory + "/metrics.jsonl";
  MMADA_CHECK(std::filesystem::exists(path), path, ": not found, expected the metrics of a training run");
  const std::string text = read_file(path);
  RunMetrics run{.name = run_name(run_directory), .curves = {}};
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) {  // lines are written with their end: one without is not whole
      run.torn = true;
      break;
    }
    const std::string place = cat(path, ":", ++number);
    add_line(run, parse_json(std::string_view(text).substr(begin, end - begin), place), place);
    begin = end + 1;
  }
  MMADA_CHECK(!run.curves.empty(), path, ": found no metrics, expected at least one whole line of them");
  return run;
}

std::vector<double> running_mean(const std::vector<double>& values, int window) {
  std::vector<double> means(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t reach = static_cast<size_t>(window / 2);
    const size_t begin = i - std::min(reach, i), end = std::min(i + reach + 1, values.size());
    double sum = 0;  // anew for every value: a sliding sum would keep the rounding of large early losses
    for (size_t j = begin; j < end; ++j) sum += values[j];
    means[i] = sum / static_cast<double>(end - begin);
  }
  return means;
}

std::vector<std::string> choose_metrics(const std::vector<RunMetrics>& runs,
                                        const std::vector<std::string>& wanted) {
  const std::vector<std::string> all = all_metrics(runs);
  std::vector<std::string> chosen;
  if (wanted.empty()) {
    std::copy_if(all.begin(), all.end(), std::back_inserter(chosen),
                 [](const std::string& name) { return !is_bookkeeping(name); });
    return chosen;
  }
  for (const std::string& word : wanted) {
    const size_t before = chosen.size();
    if (std::find(all.begin(), all.end(), word) != all.end())
      chosen.push_back(word);
    else
      std::copy_if(all.begin(), all.end(), std::back_inserter(chosen),
                   [&](const std::string& metric) { return metric.starts_with(word + "/"); });
    if (chosen.size() > before) continue;
    const std::string near = nearest_name(word, all);
    throw UsageError(cat("plot: found no metric ", quote(word), " in ", runs.front().name,
                         runs.size() > 1 ? " and the others" : "",
                         near.empty() ? "" : "; did you mean " + quote(near) + "?"));
  }
  return chosen;
}

}  // namespace mmada::plot
