// SPDX-License-Identifier: MIT
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <vector>

#include "mmada/cli/generation_flags.h"
#include "mmada/cli/verb.h"
#include "mmada/core/progress.h"
#include "mmada/eval/shapes_model.h"
#include "mmada/formats/atomic_file.h"

namespace mmada::cli {
namespace {

const std::vector<std::string> kParts = {"reconstruction", "draw", "questions", "arithmetic"};

struct Options {
  ModelFlags model;
  std::string suite, output, shapes, text_sampler, image_sampler;
  std::vector<std::string> parts = kParts;
  ShapesSuiteOptions run;
  int64_t tokens_per_step = 1;
  std::optional<int64_t> image_steps;
  std::optional<double> guidance_scale, image_temperature, token_temperature, text_temperature;
  uint64_t seed = 0;
  bool json = false;
};

/// One bar (or, away from a terminal, a line every half minute) for every thing that is measured.
auto progress_on_stderr() {
  return [bar = std::shared_ptr<Progress>(), current = std::string()](const std::string& what, int64_t done,
                                                                      int64_t total) mutable {
    if (what != current) {
      bar = std::make_shared<Progress>(
          &std::cerr,
          Progress::Options{.label = what, .total = total, .terminal = isatty(STDERR_FILENO) != 0});
      current = what;
    }
    bar->update(done);
  };
}

ShapesSampling sampling_of(const Options& flags) {
  ShapesSampling sampling;
  if (!flags.text_sampler.empty())
    sampling.text = text_options_from_json(load_sampler(flags.text_sampler), "sampler " + flags.text_sampler);
  if (!flags.image_sampler.empty())
    sampling.image =
        image_options_from_json(load_sampler(flags.image_sampler), "sampler " + flags.image_sampler);
  sampling.tokens_per_step = flags.tokens_per_step;
  sampling.text.temperature = flags.text_temperature.value_or(sampling.text.temperature);
  sampling.image.steps = flags.image_steps.value_or(sampling.image.steps);
  sampling.image.guidance_scale = flags.guidance_scale.value_or(sampling.image.guidance_scale);
  sampling.image.temperature = flags.image_temperature.value_or(sampling.image.temperature);
  sampling.image.token_temperature = flags.token_temperature.value_or(sampling.image.token_temperature);
  sampling.text.seed = sampling.image.seed = flags.seed;
  validate(sampling.image);
  return sampling;
}

void keep_parts(const std::vector<std::string>& parts, ShapesModel& model) {
  const auto wanted = [&](const char* part) {
    return std::find(parts.begin(), parts.end(), part) != parts.end();
  };
  if (!wanted("reconstruction")) model.reconstruct = nullptr;
  if (!wanted("draw")) model.draw = nullptr;
  if (!wanted("questions")) model.answer = nullptr;
  if (!wanted("arithmetic")) model.solve = nullptr;
}

Json settings_json(const Options& flags, const ShapesSampling& sampling) {
  return {{"suite", flags.suite},
          {"model", flags.model.model},
          {"image_tokenizer", flags.model.image_tokenizer},
          {"count", flags.run.count},
          {"scene_seed", flags.run.seed},
          {"seed", flags.seed},
          {"tokens_per_step", sampling.tokens_per_step},
          {"text_temperature", sampling.text.temperature},
          {"image_steps", sampling.image.steps},
          {"guidance_scale", sampling.image.guidance_scale},
          {"image_temperature", sampling.image.temperature},
          {"token_temperature", sampling.image.token_temperature},
          {"threads", at::get_num_threads()}};
}

Json evaluate(const Options& flags, const ShapesSampling& sampling, const ShapesSuiteOptions& suite) {
  const auto measure = [&](ShapesModel model) {
    keep_parts(flags.parts, model);
    if (!model.reconstruct && !model.draw && !model.answer && !model.solve)
      throw UsageError(
          "eval: found no part that these checkpoints can do, expected --model, --image-tokenizer or both");
    return shapes_result_json(run_shapes_suite(model, suite), model);
  };
  if (!flags.model.model.empty()) {
    const Generator generator = load_generator(flags.model);
    return measure(shapes_model(generator, sampling));
  }
  return measure(
      shapes_model(load_image_tokenizer(flags.model.image_tokenizer, start_computing(flags.model.compute))));
}

void run_eval(const Options& flags) {
  if (flags.model.model.empty() && flags.model.image_tokenizer.empty())
    throw UsageError("eval: found neither --model nor --image-tokenizer, expected at least one of them");
  const c10::InferenceMode inference;
  const ShapesSampling sampling = sampling_of(flags);
  ShapesSuiteOptions suite = flags.run;
  suite.shapes = read_shapes_options(flags.shapes);
  suite.progress = progress_on_stderr();
  const auto start = std::chrono::steady_clock::now();
  Json report = settings_json(flags, sampling);
  report["result"] = evaluate(flags, sampling, suite);
  report["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!flags.output.empty()) write_file(flags.output, report.dump(2) + "\n");
  if (flags.json) return print_json(report);
  std::printf("%s%lld of each, %.1f s\n", shapes_result_text(report["result"]).c_str(),
              static_cast<long long>(flags.run.count), report["seconds"].get<double>());
}

}  // namespace

void add_eval(CLI::App& app) {
  auto* verb = app.add_subcommand("eval", "Measure a model on data with known answers");
  auto flags = std::make_shared<Options>();
  add_model_flags(*verb, &flags->model, true);
  verb->get_option("--model")->required(false);
  verb->add_option("--suite", flags->suite,
                   "What to measure: shapes (drawing, questions, arithmetic, reconstruction)")
      ->check(CLI::IsMember({"shapes"}))
      ->required();
  verb->add_option("-n,--count", flags->run.count, "Items of each kind and split")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  verb->add_option("--batch", flags->run.batch, "Items generated together")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb->add_option("--parts", flags->parts,
                   "reconstruction, draw, questions, arithmetic [all that the checkpoints can do]")
      ->check(CLI::IsMember(kParts))
      ->delimiter(',');
  verb->add_flag("--shuffled", flags->run.shuffled, "Also ask every question about another scene's picture");
  verb->add_option("--shapes", flags->shapes,
                   "JSON file with the options of `mmada data shapes` that the model learned from");
  verb->add_option("--scene-seed", flags->run.seed, "Seed of the scenes and problems")->capture_default_str();
  verb->add_option("--seed", flags->seed, "Seed of the generation's noise")->capture_default_str();
  verb->add_option("--text-sampler", flags->text_sampler,
                   "Sampling settings of replies: a file or a name out of configs/sampler");
  verb->add_option("--tokens-per-step", flags->tokens_per_step, "Tokens of a reply committed at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb->add_option("--text-temperature", flags->text_temperature,
                   "Gumbel noise on the token choice; 0: argmax [0]");
  verb->add_option("--image-sampler", flags->image_sampler,
                   "Sampling settings of pictures: a file or a name out of configs/sampler");
  verb->add_option("--image-steps", flags->image_steps, "Denoising steps of a picture [18]");
  verb->add_option("--guidance-scale", flags->guidance_scale,
                   "Classifier-free guidance of pictures; 0: off [0]");
  verb->add_option("--image-temperature", flags->image_temperature, "Remask noise of pictures [1]");
  verb->add_option("--token-temperature", flags->token_temperature,
                   "Of the draw of picture codes; 0: argmax [1]");
  verb->add_option("-o,--output", flags->output, "Also writes the report, JSON, to this file");
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags] { run_eval(*flags); });
}

}  // namespace mmada::cli
