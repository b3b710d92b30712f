// SPDX-License-Identifier: MIT
// `mmada bench`: how fast this machine generates text with a checkpoint. Every step of every run is taken,
// whatever the model says.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "mmada/cli/generation_flags.h"
#include "mmada/cli/verb.h"
#include "mmada/core/rng.h"

namespace mmada::cli {
namespace {

struct Options {
  ModelFlags model;
  TextFlags text;
  int64_t prompt_tokens = 64, repeats = 5;
};

struct Timing {
  std::vector<double> seconds;  ///< of each run after a first one that is not counted
  int64_t passes = 0, tokens = 0;

  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

TokenIds random_prompt(const Generator& generate, int64_t tokens) {
  const int64_t vocabulary = generate.model().transformer.config().vocab_size;
  const int64_t mask = generate.model().layout.mask;
  Rng rng(0, "bench_prompt");
  TokenIds ids;
  while (std::ssize(ids) < tokens)
    if (const auto id = static_cast<int64_t>(rng.below(vocabulary)); id != mask) ids.push_back(id);
  return ids;
}

Timing measure(const Generator& generate, const TextRequest& request, int64_t repeats) {
  Timing timing;
  for (int64_t run = 0; run <= repeats; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    const TextAnswer answer = generate.run(request);  // ids on the host: a GPU has finished
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    if (run > 0) timing.seconds.push_back(elapsed.count());
    timing.passes = answer.nfe;
    timing.tokens = std::ssize(answer.new_ids);
  }
  return timing;
}

void run_bench(const Options& flags) {
  TextRequest request;
  request.options = text_options(flags.text);
  request.options.early_stop = false;
  const Generator generate = load_generator(flags.model);
  request.prompt = random_prompt(generate, flags.prompt_tokens);
  const Timing timing = measure(generate, request, flags.repeats);
  const double seconds = timing.median(), per_second = static_cast<double>(timing.tokens) / seconds;
  if (flags.text.sampling.json)
    return print_json({{"prompt_tokens", flags.prompt_tokens},
                       {"new_tokens", timing.tokens},
                       {"nfe", timing.passes},
                       {"seconds", timing.seconds},
                       {"median_seconds", seconds},
                       {"tokens_per_second", per_second},
                       {"device", flags.model.compute.device}});
  std::printf(
      "%lld tokens after %lld in %.3f s (median of %lld): %.1f tokens/s, %lld forward passes of %.2f ms\n",
      static_cast<long long>(timing.tokens), static_cast<long long>(flags.prompt_tokens), seconds,
      static_cast<long long>(flags.repeats), per_second, static_cast<long long>(timing.passes),
      1e3 * seconds / static_cast<double>(timing.passes));
}

}  // namespace

void add_bench(CLI::App& app) {
  auto* verb = app.add_subcommand("bench", "Measure how fast this machine generates text");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, false);
  verb->add_option("--prompt-tokens", flags->prompt_tokens, "Length of the prompt, random ids")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  verb->add_option("--repeats", flags->repeats, "Generations that are timed, after one that is not")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  add_text_flags(*verb, &flags->text, true, false);
  verb->callback([flags] { run_bench(*flags); });
}

}  // namespace mmada::cli
