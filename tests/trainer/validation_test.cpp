// SPDX-License-Identifier: MIT
#include "mmada/trainer/validation.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "mmada/core/check.h"
#include "tests/generation/small_generator.h"

namespace mmada {
namespace {

/// A folder of its own for each test case.
std::string folder(const std::string& name) {
  const std::string path = cat(MMADA_TEST_TMP, "/validation_", name);
  std::filesystem::remove_all(path);
  return path;
}

struct StepCounter : Observer {
  bool wants_tokens() const override { return false; }
  void on_progress(const StepProgress&) override { ++steps; }
  int64_t steps = 0;
};

Sample sample(const std::string& text, uint8_t shade) {
  Image image{.width = 20, .height = 16, .channels = 3, .pixels = std::vector<uint8_t>(20 * 16 * 3, shade)};
  for (size_t i = 0; i < image.pixels.size(); i += 7) image.pixels[i] = static_cast<uint8_t>(i * 5 + shade);
  return {text, std::move(image)};
}

ValidationOptions drawing() {
  ValidationOptions options;
  options.every = 1;
  options.pictures = {.steps = 4, .guidance_scale = 1.5, .rows = 4, .columns = 4, .max_text_length = 8};
  return options;
}

TEST_CASE("a panel's prediction takes one step, a prompt's pictures take theirs, with and without guidance") {
  StepCounter counter;
  const Generator generate = tiny::generator().observed({&counter});
  ValidationOptions options = drawing();
  const std::vector<Sample> panels{sample("red", 10), sample("a text longer than the budget", 90),
                                   sample("", 200)};
  const Evaluation shown = validate(generate, options, panels, folder("panels"));
  CHECK(counter.steps == 3);
  REQUIRE(shown.images.size() == 3);
  CHECK(shown.images[0].first == "samples/panel-0");
  CHECK(shown.images[0].second.width == 3 * 16 + 4 * 2);
  options.prompts = {"red", "blue"};
  counter.steps = 0;
  CHECK(validate(generate, options, {}, folder("pictures")).images.size() == 4);
  CHECK(counter.steps == 2 * 2 * 4);
  options.pictures.guidance_scale = 0;
  CHECK(validate(generate, options, {}, folder("unguided")).images.size() == 2);
}

TEST_CASE("the same seed draws and says the same, another seed other things") {
  const Generator generate = tiny::generator();
  ValidationOptions options = drawing();
  options.prompts = {"red"};
  options.chats = {"why?"};
  options.chat = {.gen_length = 8, .block_length = 8, .steps = 8, .temperature = 5.0};
  const auto shown = [&](uint64_t seed) {
    options.seed = seed;
    const Evaluation found = validate(generate, options, {sample("red", 3)}, folder("seeds"));
    std::vector<std::vector<uint8_t>> pixels;
    for (const auto& [name, image] : found.images) pixels.push_back(image.pixels);
    return std::pair(pixels, found.texts);
  };
  const auto first = shown(1), again = shown(1), other = shown(2);
  CHECK(first == again);
  REQUIRE(first.first.size() == 3);
  for (size_t i = 0; i < 3; ++i) CHECK(first.first[i] != other.first[i]);
  REQUIRE(first.second.size() == 1);
  CHECK(first.second != other.second);
}

TEST_CASE("without anything to show there is an empty list of answers") {
  const std::string path = folder("nothing");
  const Evaluation shown = validate(tiny::generator(), drawing(), {}, path);
  CHECK(shown.images.empty());
  CHECK(shown.texts.empty());
  CHECK(std::filesystem::file_size(path + "/answers.jsonl") == 0);
}

}  // namespace
}  // namespace mmada
