// SPDX-License-Identifier: MIT
// `mmada convert merge`: a checkpoint and adapters for it to a plain checkpoint.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "mmada/cli/verb.h"
#include "mmada/model/peft_adapter.h"

namespace mmada::cli {
namespace {

struct Options {
  std::string model, adapter, output;
  bool json = false;
};

void run(const Options& options) {
  MMADA_CHECK(!std::filesystem::exists(options.output), options.output,
              ": found something there already, expected a new folder");
  const Model model = load_model(options.model);
  const int64_t merged = merge_peft_adapter(model.transformer, options.adapter);
  save_model(model, options.output, options.model);
  if (options.json) return print_json({{"output", options.output}, {"merged", merged}});
  std::printf("%s: %lld weights merged\n", options.output.c_str(), static_cast<long long>(merged));
}

}  // namespace

void add_convert_merge(CLI::App& convert) {
  auto* verb = convert.add_subcommand("merge", "Merge LoRA or DoRA adapters into a checkpoint");
  auto options = std::make_shared<Options>();
  verb->add_option("--model", options->model, "Checkpoint directory that the adapters were trained on")
      ->required();
  verb->add_option(
          "--adapter", options->adapter,
          "Folder with adapter_config.json and adapter_model.safetensors, as peft and training write it")
      ->required();
  verb->add_option("--output", options->output, "Folder to make: a plain checkpoint of the base's type")
      ->required();
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->callback([options] { run(*options); });
}

}  // namespace mmada::cli
