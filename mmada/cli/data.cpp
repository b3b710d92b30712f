// SPDX-License-Identifier: MIT
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "mmada/cli/data_encode.h"
#include "mmada/cli/data_inspect.h"
#include "mmada/cli/verb.h"
#include "mmada/data/shapes.h"
#include "mmada/formats/atomic_file.h"
#include "mmada/formats/image_file.h"
#include "mmada/vision/contact_sheet.h"

namespace mmada::cli {
namespace {

struct Options {
  std::string output, contact_sheet, options, split = "train", pictures = "scenes";
  int64_t count = 100, columns = 8, scale = 1;
  uint64_t seed = 0;
  bool json = false;
};

std::string picture_name(int64_t index) {
  char name[32];
  std::snprintf(name, sizeof name, "%06lld.png", static_cast<long long>(index));
  return name;
}

/// One line of shapes.jsonl: what a "jsonl" source reads with text_key "caption" or format "question".
Json sample_json(const ShapesOptions& options, const ShapesSample& sample, const std::string& image) {
  return {{"image", image},
          {"caption", sample.caption},
          {"kind", question_kind_name(sample.question.kind)},
          {"question", sample.question.text},
          {"reasoning", sample.question.reasoning},
          {"answer", sample.question.answer},
          {"reply", sample.question.reply()},
          {"scene", scene_json(options, sample.scene)}};
}

Json problem_json(const ArithmeticProblem& problem) {
  return {{"question", problem.text},
          {"reasoning", problem.reasoning},
          {"answer", problem.answer},
          {"reply", problem.reply()}};
}

void run_shapes(const Options& flags) {
  if (flags.output.empty() && flags.contact_sheet.empty())
    throw UsageError(
        "data shapes: found neither --output nor --contact-sheet, expected at least one of them");
  const ShapesOptions options = read_shapes_options(flags.options);
  const ShapesSplit split = shapes_split_from_name(flags.split);
  const bool free = flags.pictures == "free";
  if (!flags.output.empty()) std::filesystem::create_directories(flags.output);
  std::string samples, problems;
  std::vector<Image> sheet;
  for (int64_t i = 0; i < flags.count; ++i) {
    const auto index = static_cast<uint64_t>(i);
    const auto sample = shapes_sample(options, split, flags.seed, index);
    Image image = free ? free_picture(options, flags.seed, index) : render_scene(options, sample.scene);
    if (!flags.output.empty()) {
      write_image(flags.output + "/" + picture_name(i), image);
      const Json line = free ? Json{{"image", picture_name(i)}, {"text", ""}}
                             : sample_json(options, sample, picture_name(i));
      samples += line.dump() + "\n";
      problems += problem_json(arithmetic_sample(options, split, flags.seed, index)).dump() + "\n";
    }
    if (!flags.contact_sheet.empty()) sheet.push_back(std::move(image));
  }
  if (!flags.output.empty()) {
    write_file(flags.output + "/shapes.jsonl", samples);
    if (!free) write_file(flags.output + "/arithmetic.jsonl", problems);
  }
  if (!sheet.empty())
    write_image(flags.contact_sheet, contact_sheet(sheet, {.columns = flags.columns, .scale = flags.scale}));
  if (flags.json)
    print_json({{"count", flags.count},
                {"split", flags.split},
                {"seed", flags.seed},
                {"options", shapes_options_json(options)}});
  else
    std::printf("%lld pictures of split %s, seed %llu\n", static_cast<long long>(flags.count),
                flags.split.c_str(), static_cast<unsigned long long>(flags.seed));
}

}  // namespace

void add_data(CLI::App& app) {
  auto* data = app.add_subcommand("data", "Make data sets and look into them");
  data->require_subcommand(1);
  auto* verb = data->add_subcommand(
      "shapes",
      "Pictures of coloured shapes with captions, questions, answers with reasoning, and arithmetic");
  auto flags = std::make_shared<Options>();
  verb->add_option("-o,--output", flags->output, "Folder for NNNNNN.png, shapes.jsonl and arithmetic.jsonl");
  verb->add_option("-n,--count", flags->count, "Number of samples")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  verb->add_option("--split", flags->split,
                   "train, or heldout: attribute combinations and sums that train never shows")
      ->check(CLI::IsMember({"train", "heldout"}))
      ->capture_default_str();
  verb->add_option("--seed", flags->seed, "Sample i is a function of seed and i alone")
      ->capture_default_str();
  verb->add_option("--pictures", flags->pictures,
                   "scenes, or free: the denser pictures that train an image tokenizer, without texts")
      ->check(CLI::IsMember({"scenes", "free"}))
      ->capture_default_str();
  verb->add_option("--options", flags->options,
                   "JSON file with canvas, cells, shapes, colours, sizes, weights (all optional)");
  verb->add_option("--contact-sheet", flags->contact_sheet,
                   "Also one picture (.png, .jpg, .webp) with all of them");
  verb->add_option("--columns", flags->columns, "Pictures in a row of the contact sheet")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb->add_option("--scale", flags->scale, "Enlarges the contact sheet's pictures by a whole factor")
      ->check(CLI::Range(1, 32))
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags] { run_shapes(*flags); });
  add_data_encode(*data);
  add_data_inspect(*data);
}

}  // namespace mmada::cli
