// SPDX-License-Identifier: MIT
#include <cstdio>
#include <memory>

#include "mmada/cli/verb.h"
#include "mmada/model/grow_vocabulary.h"

namespace mmada::cli {
namespace {

struct Options {
  std::string model, output;
  GrowOptions grow;
  bool json = false;
};

void run_convert_grow(const Options& options) {
  const std::vector<GrownMatrix> grown = grow_vocabulary(options.model, options.output, options.grow);
  Json matrices = Json::array();
  for (const GrownMatrix& matrix : grown) {
    const char* how = matrix.positive_definite
                          ? "new rows are drawn around the mean"
                          : "new rows are the mean: the covariance is not positive definite";
    std::fprintf(stderr, "%s: %lld to %lld rows, %s\n", matrix.name.c_str(),
                 static_cast<long long>(matrix.old_rows), static_cast<long long>(options.grow.vocab_size),
                 how);
    matrices.push_back({{"name", matrix.name},
                        {"old_rows", matrix.old_rows},
                        {"rows", options.grow.vocab_size},
                        {"drawn", matrix.positive_definite}});
  }
  if (options.json)
    print_json({{"output", options.output}, {"matrices", matrices}});
  else
    std::printf("%s\n", options.output.c_str());
}

}  // namespace

void add_convert_grow(CLI::App& convert) {
  auto* verb = convert.add_subcommand(
      "grow",
      "A checkpoint with a larger vocabulary: LLaDA's as the start of stage 1, with room for image codes");
  const auto options = std::make_shared<Options>();
  verb->add_option("-m,--model", options->model, "Checkpoint folder (LLaDA's or ours)")
      ->required()
      ->check(CLI::ExistingDirectory);
  verb->add_option("-o,--output", options->output, "Folder to make; must not exist yet")->required();
  verb->add_option("--vocab-size", options->grow.vocab_size, "Rows of the embedding and the head afterwards")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--codebook-size", options->grow.codebook_size,
                   "Image codes among the ids, for config.json")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb->add_option("--seed", options->grow.seed, "The new rows are a function of it and of the old ones")
      ->capture_default_str();
  verb->add_flag("--json", options->json, "Print one JSON object: output, matrices");
  verb->callback([options] { run_convert_grow(*options); });
}

}  // namespace mmada::cli
