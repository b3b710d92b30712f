// SPDX-License-Identifier: MIT
#include <cstdio>
#include <memory>

#include "mmada/cli/verb.h"
#include "mmada/core/check.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/published/training_settings.h"
#include "mmada/published/yaml.h"

namespace mmada::cli {
namespace {

constexpr uint64_t kMaxBytes = 4u << 20;  // of a settings file

struct Options {
  std::string input, output, stage;
  int64_t gpus = 8;
  bool json = false;
};

void run_convert_config(const Options& options) {
  published::ConversionOptions conversion{.stage = {}, .gpus = options.gpus};
  if (!options.stage.empty()) conversion.stage = published::stage_from_name(options.stage);
  const Json settings = published::parse_yaml(read_file(options.input, kMaxBytes), options.input);
  const auto converted = published::convert_training_settings(settings, options.input, conversion);
  write_file(options.output, published::jsonc_text(converted, options.input));
  for (const std::string& note : converted.notes) std::fprintf(stderr, "%s\n", note.c_str());
  if (options.json)
    print_json({{"output", options.output},
                {"stage", published::stage_name(converted.stage)},
                {"left_out", converted.left_out},
                {"unread", converted.unread}});
  else
    std::printf("%s\n", options.output.c_str());
}

}  // namespace

void add_convert_config(CLI::App& convert) {
  auto* verb = convert.add_subcommand(
      "config",
      "A published training YAML as a configuration for `mmada train`, with comments on what was taken");
  const auto options = std::make_shared<Options>();
  verb->add_option("input", options->input, "The published settings (YAML)")
      ->required()
      ->check(CLI::ExistingFile);
  verb->add_option("-o,--output", options->output, "The configuration (JSON with comments)")->required();
  verb->add_option(
          "--stage", options->stage,
          "The training script that read the settings: 1, 2, 3, cot or 4 (default: told by the keys)")
      ->check(CLI::IsMember({"1", "2", "3", "cot", "4"}));
  verb->add_option("--gpus", options->gpus, "GPUs whose rows make up a micro-batch")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  verb->add_flag("--json", options->json, "Print one JSON object: output, stage, left_out, unread");
  verb->callback([options] { run_convert_config(*options); });
}

}  // namespace mmada::cli
