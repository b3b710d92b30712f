// SPDX-License-Identifier: MIT
// `mmada reward`: rewards without a trainer, for whoever writes one.
#include "mmada/rewards/reward.h"

#include <cstdio>
#include <filesystem>
#include <memory>

#include "mmada/cli/verb.h"
#include "mmada/core/config.h"
#include "mmada/data/jsonl.h"

namespace mmada::cli {
namespace {

struct Options {
  std::string config, samples, images;
  int64_t batch = 64;
};

RewardSample sample_of(const JsonLines& lines, int64_t i, const std::filesystem::path& images) {
  const Json object = lines.read(i);
  Fields fields(object, lines.place(i));
  RewardSample sample{.task = fields.choice("task", {"text", "mmu", "t2i"}, "text"),
                      .prompt = fields.string("prompt", ""),
                      .response = fields.string("response", ""),
                      .image = {},
                      .answer = fields.string("answer", "")};
  sample.stream = fields.string("stream", "");
  if (fields.has("metadata")) sample.metadata = fields.raw("metadata");
  if (!sample.metadata.is_object()) fields.fail("metadata", found_text(sample.metadata), "an object");
  if (fields.has("image")) sample.image = read_image(images / fields.string("image"));
  fields.finish();
  return sample;
}

Json number_or_null(const std::optional<double>& score) { return score ? Json(*score) : Json(); }

void print_totals(const RewardTotals& totals) {
  for (size_t i = 0; i < totals.total.size(); ++i) {
    Json parts = Json::object();
    for (const RewardTotals::Part& part : totals.parts) parts[part.name] = number_or_null(part.scores[i]);
    print_json({{"total", number_or_null(totals.total[i])}, {"parts", parts}});
  }
  for (const std::string& failure : totals.failures) std::fprintf(stderr, "%s\n", failure.c_str());
}

/// A list of rewards, or a configuration that holds one, such as a training run's.
RewardSet read_rewards(const std::string& path) {
  const Json config = load_config(path);
  if (config.is_array()) return {config, path, "rewards"};
  return {config.value("rewards", Json()), path, "rewards"};
}

void run_reward(const Options& options) {
  RewardSet rewards = read_rewards(options.config);
  const JsonLines lines(options.samples);
  const std::filesystem::path images = options.images.empty()
                                           ? std::filesystem::path(options.samples).parent_path()
                                           : std::filesystem::path(options.images);
  bool failed = false;
  for (int64_t begin = 0; begin < lines.size(); begin += options.batch) {
    std::vector<RewardSample> batch;
    for (int64_t i = begin; i < std::min(begin + options.batch, lines.size()); ++i)
      batch.push_back(sample_of(lines, i, images));
    const RewardTotals totals = rewards.score(batch);
    print_totals(totals);
    failed = failed || !totals.failures.empty();
  }
  if (failed) throw ExitStatus{1};
}

}  // namespace

void add_reward(CLI::App& app) {
  auto* verb = app.add_subcommand("reward", "Judge responses in a file, to try rewards without a trainer");
  const auto options = std::make_shared<Options>();
  verb->add_option(
          "config", options->config,
          "Rewards: a JSON list of {name, weight, tasks, on_failure, reward}, or an object with \"rewards\"")
      ->required();
  verb->add_option("samples", options->samples,
                   "JSON lines of {task, prompt, response, answer, metadata, image}; an image is a path")
      ->required();
  verb->add_option("--images", options->images, "Folder of the pictures (default: the samples' folder)");
  verb->add_option("--batch", options->batch, "Samples that are judged together")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb->footer(
      "Prints a JSON object for each sample: its total and every reward's part, null for no opinion. What "
      "rewards print goes to standard error; the status is 1 where one failed.");
  verb->callback([options] { run_reward(*options); });
}

}  // namespace mmada::cli
