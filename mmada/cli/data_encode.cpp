// SPDX-License-Identifier: MIT
#include "mmada/cli/data_encode.h"

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "mmada/cli/verb.h"
#include "mmada/core/check.h"
#include "mmada/core/config.h"
#include "mmada/trainer/train.h"

namespace mmada::cli {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> overrides;
  int64_t count = 0, part = 0, parts = 1;
  bool json = false;
};

void run(const Options& options) {
  if (options.part >= options.parts)
    throw UsageError(cat("--part: found ", options.part, ", expected 0 to ", options.parts - 1, " (--parts ",
                         options.parts, ")"));
  const Json config = load_config(options.config, options.overrides);
  const int64_t pictures =
      encode_pictures(config, options.config, options.count, options.part, options.parts, &std::cerr);
  if (options.json) return print_json({{"pictures", pictures}});
  std::printf("%lld pictures\n", static_cast<long long>(pictures));
}

}  // namespace

void add_data_encode(CLI::App& data) {
  const auto options = std::make_shared<Options>();
  auto* verb = data.add_subcommand(
      "encode", "Put the codes of a training's pictures into its cache (image_tokenizer.cached_codes)");
  verb->add_option("config", options->config, "Training configuration")->required()->check(CLI::ExistingFile);
  verb->add_option("overrides", options->overrides, "FIELD=VALUE, as for train");
  verb->add_option("-n,--count", options->count, "Samples of each flow; 0: as many as the training takes")
      ->check(CLI::Range(0, 2'000'000'000))
      ->capture_default_str();
  verb->add_option("--part", options->part, "Of several processes, which this is")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  verb->add_option("--parts", options->parts, "How many processes share the work")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->callback([options] { run(*options); });
}

}  // namespace mmada::cli
