// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <memory>

#include "mmada/cli/verb.h"
#include "mmada/core/check.h"
#include "mmada/formats/image_file.h"
#include "mmada/plot/chart.h"
#include "mmada/plot/run_metrics.h"

namespace mmada::cli {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string output;
  std::vector<std::string> metrics;
  int smoothing = 1;
  bool json = false;
};

/// Beside the first run's metrics, where nothing else is asked for.
std::string output_path(const Options& options) {
  return options.output.empty() ? options.runs.front() + "/metrics.png" : options.output;
}

/// Runs whose folders are called alike get their whole paths as names.
void tell_apart(std::vector<plot::RunMetrics>& runs, const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const plot::RunMetrics& run : runs) names.push_back(run.name);
  for (size_t i = 0; i < runs.size(); ++i)
    if (std::count(names.begin(), names.end(), names[i]) > 1) runs[i].name = paths[i];
}

void run_plot(const Options& options) {
  const std::string path = output_path(options);
  check_image_path(path);
  std::vector<plot::RunMetrics> runs;
  for (const std::string& directory : options.runs) {
    runs.push_back(plot::read_run_metrics(directory));
    if (runs.back().torn)
      std::fprintf(stderr, "note: %s/metrics.jsonl: the last line is cut short and left out\n",
                   directory.c_str());
  }
  tell_apart(runs, options.runs);
  const std::vector<std::string> metrics = plot::choose_metrics(runs, options.metrics);
  write_image(path, plot::draw_chart(runs, metrics, {.smoothing = options.smoothing}).picture);
  if (options.json)
    print_json({{"output", path}, {"metrics", metrics}});
  else
    std::printf("%s\n", path.c_str());
}

}  // namespace

void add_plot(CLI::App& app) {
  auto* verb = app.add_subcommand("plot", "Draw the metrics of training runs as curves");
  const auto options = std::make_shared<Options>();
  verb->add_option("runs", options->runs, "Folders of runs, each with a metrics.jsonl")->required();
  verb->add_option("-o,--output", options->output,
                   "Picture (.png, .jpg, .webp), 1200 pixels wide (default: metrics.png in the first run)");
  verb->add_option("--metrics", options->metrics,
                   "Names separated by commas, such as loss,lr,gate/t2i/gap; \"gate\" means all of gate/... "
                   "(default: every metric but bookkeeping)")
      ->delimiter(',');
  verb->add_option("--smooth", options->smoothing,
                   "Draw the running mean of so many neighbouring values; 1: none")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  verb->add_flag("--json", options->json, "Print one JSON object: output, metrics");
  verb->callback([options] { run_plot(*options); });
}

}  // namespace mmada::cli
